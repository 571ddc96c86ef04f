"""Pulls what a reference stands for with the PyPI client oras, into FOLDER/pulled, and keeps each
blob as it came in FOLDER/blobs, numbered: a pull leaves layers of OCI images unpacked only.

python oras.py host:port/name[:tag|@digest] FOLDER
"""

import pathlib
import shutil
import sys

# A script's own folder comes first, and this script has the name of the package.
sys.path.pop(0)

from oras.client import OrasClient  # noqa: E402

reference, folder = sys.argv[1], pathlib.Path(sys.argv[2])
blobs = folder / "blobs"
blobs.mkdir(parents=True)


class Keeping(OrasClient):
    def download_blob(self, container, digest, outfile):
        result = super().download_blob(container, digest, outfile)
        shutil.copyfile(result, blobs / str(len(list(blobs.iterdir()))))
        return result


client = Keeping(insecure=True, tls_verify=False)
if not client.pull(target=reference, outdir=str(folder / "pulled"), allowed_media_type=[]):
    sys.exit("nothing to pull")
