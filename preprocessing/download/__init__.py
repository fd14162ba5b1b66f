"""Fetch the files of a data set from where they are published, checked and unpacked.

Imports ``files`` and ``progress`` alone.
"""

from preprocessing.download.remote import DownloadError, Provided, RemoteFile, download

__all__ = ["DownloadError", "Provided", "RemoteFile", "download"]
