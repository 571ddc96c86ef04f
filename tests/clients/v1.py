"""Everything that the PyPI client can read of a registry over the v1 API, as one JSON object.

python v1.py http://host:port [REPOSITORY=TAG,..]...   (all that a search finds unless given)
"""

import json
import sys

from docker_registry_client import DockerRegistryClient
from docker_registry_client.Image import Image


def read_image(client, image):
    ids = image.ancestry()
    chain = [Image(image_id, client).get_json() for image_id in ids]
    return {"id": image.image_id, "ancestry": ids, "json": chain}


def read_repository(client, repository, tags):
    return {tag: read_image(client, repository.image(tag)) for tag in tags}


registry = DockerRegistryClient(sys.argv[1], api_version=1)
client = registry._base_client
result = {"ping": client.check_status()}
if sys.argv[2:]:
    given = [argument.split("=") for argument in sys.argv[2:]]
    wanted = {name: (registry.repository(name), tags.split(",")) for name, tags in given}
else:
    found = registry.repositories()
    wanted = {name: (found[name], found[name].tags()) for name in found}
    result["namespaces"] = sorted(registry.namespaces())
result["repositories"] = {name: read_repository(client, *wanted[name]) for name in wanted}
print(json.dumps(result))
