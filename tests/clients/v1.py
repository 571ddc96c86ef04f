"""Everything that the PyPI client can read of a registry over the v1 API, as one JSON object.

python v1.py http://host:port
"""

import json
import sys

from docker_registry_client import DockerRegistryClient


def read_image(image):
    return {"ancestry": image.ancestry(), "json": image.get_json()}


def read_repository(repository):
    tags = {tag: repository.image(tag) for tag in repository.tags()}
    return {tag: {"id": image.image_id, **read_image(image)} for tag, image in tags.items()}


client = DockerRegistryClient(sys.argv[1], api_version=1)
repositories = client.repositories()
result = {
    "ping": client._base_client.check_status(),
    "namespaces": sorted(client.namespaces()),
    "repositories": {name: read_repository(repositories[name]) for name in repositories},
}
print(json.dumps(result))
