"""The v1 images that `docker push` to a v1 registry makes of a config, worked out apart from the
project: from `distribution/push_v1.go` and `image/v1/imagev1.go` of Docker 17.06, where the config is
a `map[string]*json.RawMessage` of Go.

Reads a config on the standard input; prints [[id, json], ..], the top first.
"""
import hashlib
import json
import re
import sys

text = sys.stdin.buffer.read().decode("utf-8")
decoder = json.JSONDecoder()


def skip(at):
    while text[at] in " \t\r\n":
        at += 1
    return at


def raw_values():
    """The members of the outer object: each key decoded, each value as its text."""
    members = {}
    at = skip(skip(0) + 1)
    while text[at] != "}":
        key, at = json.decoder.scanstring(text, at + 1)
        at = skip(skip(at) + 1)
        start = at
        _, at = decoder.raw_decode(text, at)
        members[key] = text[start:at]
        at = skip(at)
        if text[at] == ",":
            at = skip(at + 1)
    return members


def html(escaped):
    for char in "<>&\u2028\u2029":
        escaped = escaped.replace(char, "\\u%04x" % ord(char))
    return escaped


def compact(raw):
    """Drops white space between tokens; strings are kept, as `json.Compact` does."""
    return html(re.sub(r'("(?:[^"\\]|\\.)*")|\s+', lambda match: match.group(1) or "", raw))


def key(name):
    # A lone surrogate is no character: Go replaces it.
    name = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in name)
    return name, html(json.dumps(name, ensure_ascii=False))


config = raw_values()
diff_ids = json.loads(config["rootfs"]).get("diff_ids") or []
chain = []
for diff_id in diff_ids:
    below = chain[-1] if chain else None
    joined = "%s %s" % (below, diff_id)
    chain.append(diff_id if below is None else "sha256:" + hashlib.sha256(joined.encode()).hexdigest())
ids = [link[7:] for link in chain[:-1]]

images = []
for number, image in enumerate(ids):
    parent = ',"parent":"%s"' % ids[number - 1] if number else ""
    images.append([image, '{"id":"%s"%s}' % (image, parent)])

top = hashlib.sha256(text.encode("utf-8")).hexdigest()
for name in ("rootfs", "history", "os.version", "os.features", "parent"):
    config.pop(name, None)
config["id"] = '"%s"' % top
if ids:
    config["parent"] = '"%s"' % ids[-1]
members = {}
for name, raw in config.items():
    plain, quoted = key(name)
    members[plain.encode("utf-8")] = quoted + ":" + compact(raw)
images.append([top, "{" + ",".join(members[name] for name in sorted(members)) + "}"])
json.dump(images[::-1], sys.stdout)
