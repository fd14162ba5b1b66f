import pytest
from torch import nn

from evglif import build_model
from evglif.models.notation import notation


class Named(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.name = name

    def notation(self):
        return self.name


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("", ""),
        ("a", "a"),
        ("a b", "a-b"),
        ("a a", "{a}*2"),
        ("a b b b", "a-{b}*3"),
        ("a b a b c", "{a-b}*2-c"),
        ("a a a a", "{a}*4"),
        ("a a p a a p", "{{a}*2-p}*2"),
        ("s a b a b a b s", "s-{a-b}*3-s"),
    ],
)
def test_what_repeats_stands_once(names, expected):
    assert notation([Named(name) for name in names.split()]) == expected


def test_layers_without_a_name_are_left_out():
    assert notation([Named("a"), Named(""), Named("a"), nn.Linear(3, 7)]) == "{a}*2-FC7"


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        (
            "7b-widenet",
            {"neuron": "plif", "num_classes": 11, "width": 32},
            "c32k3s1-BN-PLIF-{SEW Block (c32)}*4-APk2s2",
        ),
        ("7b-widenet", {"stem_kernel": 1}, "c64k1s1-BN-GLIF-"),
        ("plif-mnist", {"pooling": "average", "neuron": "relu"}, "{c128k3s1-BN-ReLU-APk2s2}*2-DP-FC2048-ReLU-"),
        ("ms-resnet18", {}, "c64k7s2-BN-GLIF-MS Block (c64s2)-MS Block (c64)-MS Block (c128s2)-"),
        ("resnet19", {}, "c128k3s1-BN-GLIF-{Basic Block (c128)}*3-Basic Block (c256s2)-{Basic Block (c256)}*2-"),
        ("cifarnet", {}, "c128k3s1-BN-GLIF-c256k3s1-BN-GLIF-APk2s2-c512k3s1-BN-GLIF-APk2s2-c1024k3s1-BN-GLIF-c512k3"),
    ],
)
def test_the_notation_follows_the_options(name, options, expected):
    assert build_model(name, **options).notation().startswith(expected)
