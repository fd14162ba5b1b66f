// Classify DVS128 recordings with a model exported by `python -m deploy.export CHECKPOINT --format onnx`.
//
//     classify MODEL.onnx RECORDING.aedat…
//
// The model's own description says how events become frames, and names its classes.

#include <onnxruntime_cxx_api.h>

#include <array>
#include <chrono>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "aedat.hpp"
#include "description.hpp"
#include "frames.hpp"

namespace {

constexpr int description_version = 2;  // deploy/metadata.py
const std::string export_anew = "; export the checkpoint with python -m deploy.export --format onnx";

// The description inside a model, refused where this program cannot do what it asks for.
nlohmann::json description_of(const Ort::Session& session, const std::string& path) {
    Ort::AllocatorWithDefaultOptions allocator;
    const auto text = session.GetModelMetadata().LookupCustomMetadataMapAllocated("evglif", allocator);
    if (!text) throw std::runtime_error(path + " holds no description by evglif" + export_anew);
    auto description = nlohmann::json::parse(text.get());
    if (!description.is_object()) throw std::runtime_error(path + ": its description is no table" + export_anew);
    const auto& version = description.at("version");
    if (version != description_version)
        throw std::runtime_error(path + ": its description has version " + version.dump() + ", this program reads " +
                                 std::to_string(description_version) + export_anew);
    if (description.at("form") != "unrolled")
        throw std::runtime_error(path + " runs one time step at a time; this program runs all at once" + export_anew);
    if (description.at("model").value("encoder", "frames") != "frames")
        throw std::runtime_error(path + " was trained on images, not on events");
    if (description.at("preprocessing").is_null())
        throw std::runtime_error(path + " does not know how its training data were made" + export_anew);
    if (description.at("sensor") != nlohmann::json{aedat::width, aedat::height})
        throw std::runtime_error(path + " was trained on a sensor of " + description["sensor"].dump() +
                                 " px; this program reads recordings of the DVS128, [128,128]");
    try {
        description::check_all(description);
    } catch (const std::runtime_error& error) {
        throw std::runtime_error(path + ": " + error.what() + export_anew);
    }
    return description;
}

std::vector<double> softmax(std::span<const float> logits) {
    const double largest = *std::ranges::max_element(logits);
    std::vector<double> probabilities;
    for (const auto logit : logits) probabilities.push_back(std::exp(logit - largest));
    const auto sum = std::reduce(probabilities.begin(), probabilities.end());
    for (auto& probability : probabilities) probability /= sum;
    return probabilities;
}

class Classifier {
public:
    explicit Classifier(const std::string& path)
        : session_(environment_, path.c_str(), Ort::SessionOptions()),
          description_(description_of(session_, path)),
          frames_of_(description_.at("preprocessing")),
          classes_(description_.at("classes")) {}

    const std::vector<std::string>& classes() const { return classes_; }

    // Class probabilities of a recording, the mean over its windows.
    std::vector<double> operator()(const std::string& path) {
        const auto events = aedat::read(path);
        const auto windows = windows_of(events, description_.at("preprocessing"), path);
        std::vector<double> mean(classes_.size());
        for (const auto& window : windows) {
            const auto probabilities = run(frames_of_(window));
            for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += probabilities[i] / double(windows.size());
        }
        return mean;
    }

private:
    std::vector<double> run(std::vector<float> frames) {
        const std::int64_t width = description_.at("size").at(0), height = description_.at("size").at(1);
        const std::array<std::int64_t, 5> shape{1, description_.at("steps"), 2, height, width};
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        const auto input =
            Ort::Value::CreateTensor<float>(memory, frames.data(), frames.size(), shape.data(), shape.size());
        const std::array inputs{"frames"}, outputs{"logits"};
        const auto results = session_.Run(Ort::RunOptions(), inputs.data(), &input, 1, outputs.data(), 1);
        const auto made = results[0].GetTensorTypeAndShapeInfo();
        const std::vector<std::int64_t> expected{1, std::int64_t(classes_.size())};
        if (made.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || made.GetShape() != expected)
            throw std::runtime_error("the model's outputs are not its " + std::to_string(classes_.size()) + " classes" +
                                     export_anew);
        return softmax({results[0].GetTensorData<float>(), classes_.size()});
    }

    Ort::Env environment_{ORT_LOGGING_LEVEL_ERROR, "classify"};
    Ort::Session session_;
    nlohmann::json description_;
    FrameMaker frames_of_;
    std::vector<std::string> classes_;
};

// One line with the likeliest class and the time it took, then one for each class.
void print_answer(Classifier& classifier, const std::string& path) {
    const auto started = std::chrono::steady_clock::now();
    const auto probabilities = classifier(path);
    const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - started;
    const auto best = std::ranges::max_element(probabilities) - probabilities.begin();
    std::cout << std::fixed << std::setprecision(1) << path << ": " << classifier.classes()[best] << "  "
              << 100 * probabilities[best] << "%  " << taken.count() << " ms\n"
              << std::setprecision(6);
    for (std::size_t i = 0; i < probabilities.size(); ++i)
        std::cout << "  " << probabilities[i] << "  " << classifier.classes()[i] << '\n';
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 3) {
        std::cerr << "usage: classify MODEL.onnx RECORDING.aedat...\n";
        return 2;
    }
    int status = 0;
    try {
        Classifier classifier(arguments[1]);
        for (const std::string path : std::span(arguments + 2, arguments + count)) {
            try {
                print_answer(classifier, path);
            } catch (const std::exception& error) {
                std::cerr << "error: " << error.what() << '\n';
                status = 1;
            }
        }
    } catch (const nlohmann::json::exception& error) {
        std::cerr << "error: " << arguments[1] << ": its description is damaged (" << error.what() << ')' << export_anew
                  << '\n';
        status = 1;
    } catch (const std::exception& error) {
        std::cerr << "error: " << error.what() << '\n';
        status = 1;
    }
    return status;
}
