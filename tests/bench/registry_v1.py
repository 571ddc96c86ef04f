"""Writes the storage folder of the Python docker-registry with the layers of a docker-archive.

    registry_v1.py ARCHIVE OUT
"""

import gzip
import hashlib
import json
import pathlib
import shutil
import sys
import tarfile


def main(archive, out):
    out, parent = pathlib.Path(out), None
    with tarfile.open(archive) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))[0]
        for name in manifest["Layers"]:
            image_id = hashlib.sha256(f"{parent} {name}".encode()).hexdigest()
            image = {"id": image_id, "created": "2014-01-02T03:04:05Z", "os": "linux", "architecture": "amd64"}
            if parent:
                image["parent"] = parent
            body = json.dumps(image).encode()
            folder = out / "images" / image_id
            folder.mkdir(parents=True)
            (folder / "json").write_bytes(body)
            with open(folder / "layer", "wb") as file, gzip.GzipFile("", "wb", 6, file, 0) as packed:
                shutil.copyfileobj(tar.extractfile(name), packed, 1 << 20)
            checksum = hashlib.sha256(body + b"\n")
            with open(folder / "layer", "rb") as file:
                while piece := file.read(1 << 20):
                    checksum.update(piece)
            (folder / "_checksum").write_text(json.dumps([f"sha256:{checksum.hexdigest()}"]))
            parent = image_id
    folder = out / "repositories" / "bench" / "files"
    folder.mkdir(parents=True)
    (folder / "tag_1").write_text(parent)


main(*sys.argv[1:])
