"""Folders of weights from a model hub, fetched by the hub's own library."""

from __future__ import annotations

import os
import re
from pathlib import Path

from evglif.pretrained.folder import FILES

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
"""``owner/name``."""

PATIENCE_S = 20.0
"""How long a hub may take to say which commit it has, s."""


def fetch_folder(repository: str, revision: str | None = None) -> Path:
    """The folder of a repository, of which only the files of our layout are fetched; those are kept by the library.

    The address is the library's: ``HF_ENDPOINT``, by default that of the Hugging Face hub.

    Args:
        repository: ``owner/name``.
        revision: a branch, tag or commit; None for the main branch.

    Raises:
        ValueError: for a name that is none.
        ImportError: the library isn't installed.
        OSError: the hub gives no answer, has no such repository, or answers something else.
    """
    if not REPOSITORY.fullmatch(repository):
        raise ValueError(f"{repository!r} is no repository of a hub; expected owner/name")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when the library is imported
    from preprocessing.cache import package_version

    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError as error:
        raise ImportError("weights of a hub need its library: pip install 'evglif[hub]'") from error
    endpoint = os.environ.get("HF_ENDPOINT")
    try:
        # The only request of the library that may be given an end; a hub that is silent is noticed by it.
        commit = HfApi(endpoint).model_info(repository, revision=revision or "main", timeout=PATIENCE_S).sha
        found = snapshot_download(
            repository,
            revision=commit,
            endpoint=endpoint,
            allow_patterns=list(FILES),
            library_name="evglif",
            library_version=package_version(),
        )
    except Exception as error:  # the library's own, those of three others below it, and what garbage ends in
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        at = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
        again = "make sure of the name, the address and the network, or fetch the folder by hand and give its path"
        raise OSError(f"{repository} cannot be fetched from {at}: {reason}; {again}") from error
    return Path(found)
