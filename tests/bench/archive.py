"""Writes a docker-archive of files of this machine, in plain layers.

    archive.py OUT LAYERS MEBIBYTES [SALT [implied]]

The first layer holds half of the bytes, the others share the rest. Another SALT is another image on the same
layers, as a CI job saves it. With `implied` the layers have files alone, without the folders that they lie in.
"""

import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile


def files():
    """The regular files below /usr, in the order of their names."""
    for top in ("/usr/bin", "/usr/share", "/usr/lib"):
        for folder, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    yield path


def layer(out, paths, size, implied):
    """Writes one tar of about so many bytes to a file; returns its digest."""
    folders = set()
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        while tar.offset < size:
            path = next(paths)
            for folder in reversed(pathlib.PurePath(path).parents[:-1]):
                if folder not in folders and not implied:
                    folders.add(folder)
                    tar.add(folder, recursive=False)
            with open(path, "rb") as file:
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size = os.fstat(file.fileno()).st_size
                tar.addfile(entry, file)
    with open(out, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(out, layers, size, salt="1", implied=None):
    layers, size = int(layers), int(size) << 20
    paths = files()
    diff_ids = []
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        def member(name, body):
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))

        for number in range(layers):
            share = size if layers == 1 else size // 2 if number == 0 else size // 2 // (layers - 1)
            diff_ids.append(layer(out + ".layer", paths, share, implied))
            tar.add(out + ".layer", f"{diff_ids[-1]}.tar")
            os.remove(out + ".layer")
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {"salt": salt}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}" for diff_id in diff_ids]},
        }
        config = json.dumps(config).encode()
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        member(name, config)
        manifest = {
            "Config": name,
            "RepoTags": [f"bench/{pathlib.Path(out).stem}:1"],
            "Layers": [f"{diff_id}.tar" for diff_id in diff_ids],
        }
        member("manifest.json", json.dumps([manifest]).encode())


main(*sys.argv[1:])
