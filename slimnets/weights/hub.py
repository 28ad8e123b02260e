"""A file of a Hugging Face repository: over plain HTTPS, or through `huggingface_hub` where it is.

The Hub tells a large file's SHA-256 before it sends the file (`X-Linked-Etag`), from a server other
than the one that stores it; what arrives must have it.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimnets.weights import download
from tflite.images import Preprocessing

_TIMEOUT_SECONDS = 30
_MOST_CONFIG_BYTES = 1 << 20


def address(repository: str, file: str) -> str:
    """Where a file of a repository is; `HF_ENDPOINT` stands for the Hub's address, as elsewhere."""
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
    return f"{endpoint}/{repository}/resolve/main/{file}"


def fetch(repository: str, file: str, name: str) -> Path:
    """A file of the Hub, from a cache or downloaded, with the hash that the Hub tells of it.

    One called `name` in our own cache folder, where it may have been put by hand, comes first.

    Args:
        repository: such as "timm/NAME.TAG".
        file: its name there.
        name: its name in our cache.

    Raises:
        ValueError: what came does not have the hash that the Hub tells, or the Hub tells none.
        ConnectionError: offline or unreachable; the message tells which file to put where.
    """
    url = address(repository, file)
    path = download.cache_folder() / name
    if path.is_file():
        return path
    try:
        client: Any = importlib.import_module("huggingface_hub")
    except ImportError:
        client = None
    if client is not None:
        return _fetch_by_client(client, repository, file, path, url)
    if download.is_offline():
        raise ConnectionError(download.put_it_there(path, url, None, "SLIMNETS_OFFLINE is set"))
    return download.fetch(url, _published_hash(url, path), name=name)


def _fetch_by_client(client: Any, repository: str, file: str, path: Path, url: str) -> Path:
    """Through the user's own cache and settings of the Hub; its blobs are called by their hash."""
    try:
        found = Path(
            client.hf_hub_download(repository, file, local_files_only=download.is_offline())
        )
    except Exception as error:  # its errors come from several libraries, by version
        reason = f"huggingface_hub says: {' '.join(str(error).split())[:200]}"
        raise ConnectionError(download.put_it_there(path, url, None, reason)) from error
    blob = found.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name) and download.sha256_of(blob) != blob.name:
        raise ValueError(
            f"{found} does not have the SHA-256 {blob.name}: it is damaged. Delete {blob}, and it "
            "is downloaded again."
        )
    return found


class _Stay(urllib.request.HTTPRedirectHandler):
    """The hash stands in the Hub's own answer, not in that of the storage it sends us to."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _published_hash(url: str, path: Path) -> str:
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "slimnets"})
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=_TIMEOUT_SECONDS) as answer:
            headers: Mapping[str, str] = answer.headers
    except urllib.error.HTTPError as error:
        if not 300 <= error.code < 400:
            reason = f"the server answered {error.code} {error.reason}"
            raise ConnectionError(download.put_it_there(path, url, None, reason)) from error
        headers = error.headers
    except OSError as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        raise ConnectionError(download.put_it_there(path, url, None, reason)) from error
    sha256 = headers.get("X-Linked-Etag", "").strip('W/"')
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError(
            f"the server tells no SHA-256 of {url} (X-Linked-Etag: {sha256[:80]!r}), so that a "
            f"download could not be checked. Get the file elsewhere and put it at {path}."
        )
    return sha256


@dataclass(frozen=True)
class Described:
    """What a `config.json` says of the weights beside it.

    Attributes:
        architecture: timm's name of the network; "" where it does not say.
        preprocessing: what images went through; None where it does not say.
    """

    architecture: str
    preprocessing: Preprocessing | None


def described_beside(path: Path) -> Described | None:
    """What the `config.json` in a weight file's folder says of it, where timm has put one there."""
    place = path.with_name("config.json")
    try:
        if not place.is_file() or place.stat().st_size > _MOST_CONFIG_BYTES:
            return None
        fields = json.loads(place.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("architecture"), str):
        return None
    return Described(fields["architecture"], _preprocessing(fields.get("pretrained_cfg")))


def _preprocessing(fields: Any) -> Preprocessing | None:
    try:
        _, height, width = fields["input_size"]
        return Preprocessing(
            size=(height, width),
            crop_fraction=fields["crop_pct"],
            mean=tuple(fields["mean"]),
            std=tuple(fields["std"]),
            value_range=(0.0, 1.0),
            interpolation=fields["interpolation"],
            keep_aspect_ratio=True,
        )
    except (KeyError, TypeError, ValueError):
        return None
