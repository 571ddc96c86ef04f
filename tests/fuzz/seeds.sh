#!/usr/bin/env bash
# Makes tests/fuzz/corpus/ out of the fixtures: inputs that the fuzzers begin with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
fixtures=../../fixtures

seed() { # TARGET FILE...
    mkdir -p "corpus/$1"
    local file
    for file in "${@:2}"; do
        cp "$file" "corpus/$1/$(sha256sum <"$file" | cut -c1-16)"
    done
}
text() { # TARGET, lines on the standard input
    mkdir -p "corpus/$1"
    local line
    while IFS= read -r line; do
        printf '%b' "$line" >"corpus/$1/$(sha256sum <<<"$line" | cut -c1-16)"
    done
}

seed archive "$fixtures"/*.tar
seed load "$fixtures"/*.tar

while IFS= read -r blob; do
    case "$(head -c 1 "$blob")" in
        '{' | '[')
            seed manifest "$blob"
            seed config "$blob"
            seed v1_json "$blob"
            ;;
        *) seed packed "$blob" ;;
    esac
done < <(find "$fixtures" -type f -size -64k \( -path '*/blobs/*' -o -path '*/images/*' -o -path '*/dir-*' \))
seed index "$fixtures"/*/index.json

# Bytes that say what entries the layers have; see ../it/fuzz/targets/layers.rs.
text layers <<'EOT'
\x01\x08\x11\x18\xff\x02\x10\x01
\x00\x08\x10\x18\x20\xff\x03\x01\x0b\x13
\x20\x28\x30\xff\x0a\x12\xff\x01\x03
EOT
text name <<'EOT'
docker.io/library/alpine:3.20
quay.io/org/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
localhost:5000/a/b-c/d__e.f:v1.0_x
sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.sig
linux/arm64/v8
EOT
text ssh_command <<'EOT'
get app:1 org/app
registryget app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
put quay.io/org/app:1
registryput\tmirror/
list
put --site=/ -o x
EOT
text lines <<'EOT'
alpine:3.20 library/x:Latest
a.b/c:1.0-x a.b/c:1.0-X a/b__c-d:_
EOT
text http <<'EOT'
/v2/app/manifests/1
/v2/app/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\nRange: bytes=0-1
/v2/app/tags/list?n=1&last=1
/v2/_catalog?n=2
/v1/search?q=a&n=1&page=2
/v2/app/referrers/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855?artifactType=x
/v2/../%2e%2e/etc/passwd
/blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\nIf-None-Match: "x"
EOT
text catalogue <<'EOT'
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"x/y","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":3,"annotations":{"org.opencontainers.image.ref.name":"tiny:1"}}],"annotations":{"org.stillage.apis":"v1,v2","org.stillage.format":"1","org.stillage.servers":"apache","org.stillage.v1.platform":"linux/arm64/v8"}}
EOT
text signature <<'EOT'
\x00sigstore-json\n{"mimeType":"x/y","payload":"eyJ9","annotations":{"a":"b"}}
EOT
text export <<'EOT'
\x00{"format":1,"catalogue":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","base":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","requires":{"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855":3},"v1_layers":{"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},"volume":{"number":2,"of":3,"list":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}
\x01{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":3,"annotations":{"org.opencontainers.image.ref.name":"tiny:1"}}],"annotations":{"org.stillage.apis":"v1,v2","org.stillage.format":"2"}}
\x02{"catalogue":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","volumes":[[{"path":"blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":3,"part":1,"of":"tiny:1"}]]}
\x03e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  stillage-export.json
EOT
