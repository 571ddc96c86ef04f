#!/bin/sh
# Copies a site to a web server with rsync, in an order in which no client ever finds a name without what it
# stands for: content, manifests by digest, referrers, tags, lists, the catalogue. What the site no longer has
# is deleted last, in reverse. Only what differs is sent, whatever its times. After an interruption, run it again.
#
#   sh THIS-FILE [--keep-content] DEST [RSYNC-OPTION...]
#
#   DEST            a folder or HOST:FOLDER, as rsync takes it; the folder above it exists
#   --keep-content  keep blobs, layers and manifests by digest that the site no longer has, for clients in the
#                   middle of a pull; another run without it deletes them
#   RSYNC-OPTION    for example -v, --dry-run -v, --bwlimit=1m, -e 'ssh -p 2222'
#
# STILLAGE_SITE in the environment names another site than the one below. Needs rsync 3 on both sides.
# shellcheck disable=SC2046,SC2086 # lists of patterns are split into words
set -euf
umask 022
site=${STILLAGE_SITE:-'/srv/registry'}

fail() {
    echo "$1" >&2
    exit 2
}
keep=
if [ "${1-}" = --keep-content ]; then
    keep=keep
    shift
fi
case ${1-} in
    '' | -*) fail "usage: sh THIS-FILE [--keep-content] DEST [RSYNC-OPTION...]" ;;
esac
dest=$1
shift
[ -e "$site/index.json" ] || fail "$site is not a site: it has no index.json"
command -v rsync >/dev/null || fail "rsync is not installed"

# Builds wait until the copy is done, as it waits for them; likewise a prune in a local DEST.
if command -v flock >/dev/null; then
    if [ -e "$site/.stillage/lock" ]; then
        exec 9<"$site/.stillage/lock"
        flock -s 9
    fi
    if [ -e "$dest/.stillage/lock" ]; then
        exec 8<"$dest/.stillage/lock"
        flock 8
    fi
fi

with() { for pattern; do printf ' --include=%s' "$pattern"; done; }
without() { for pattern; do printf ' --exclude=%s' "$pattern"; done; }

# Folders are always entered, so that names may have parts such as `tags` and `blobs`.
all='--exclude=/.stillage --include=*/'
none='--exclude=*'
content='/blobs/sha256/* /v2/**/blobs/sha256:* /v1/images/*/layer'
digests='/v2/**/manifests/sha256:* /v2/**/_types/sha256:*/*'
images='/v1/images/*/json /v1/images/*/ancestry /v1/images/*/checksum /lookaside/**/signature-*'
referrers='/v2/**/referrers/*'
tags='/v2/**/manifests/* /v2/**/_types/*.* /v2/**/_tags/* /v1/repositories/**/tags/*'
lists='/_pages/** /v2/**/tags/list /v1/repositories/**/tags/index.json /v1/repositories/**/tags/index.html
    /v1/repositories/**/images'
catalogue='/* /v1/_ping /v1/search /v2/index.html /v2/_catalog'

# What is named by its digest is the same where it has the same length. Everything else is compared.
by_length='-rlH --chmod=D755,F644 --size-only'
by_content='-rlH --chmod=D755,F644 --checksum'
# Folders that keep files of others cannot be deleted, which is worth a line only to those who watch.
delete='-rq --existing --ignore-existing --delete --include=/_pages/ --include=/blobs/ --include=/lookaside/ --include=/v1/ --include=/v2/ --exclude=/*'
case " $* " in
    *' -v'* | *' -nv'* | *' -i'* | *' --verbose '* | *' --itemize-changes '*) delete="-r${delete#-rq}" ;;
esac

# The second pass has the content once more, since names of one file are linked only within a pass.
for pass in \
    "$by_length $all $(with $content) $none" \
    "$by_length $all $(with $content $digests) $none" \
    "$by_content $all $(without $content $digests $tags $lists $catalogue)" \
    "$by_content $all $(without $lists $digests) $(with $tags) $none" \
    "$by_content $all $(with $lists) $none" \
    "$by_content $all $(with $catalogue) $none" \
    "$delete $all $(with $catalogue $lists) $none" \
    "$delete $all $(with $catalogue $lists $referrers) $(without $digests) $(with $tags) $none" \
    "${keep:-$delete $all $(with $catalogue $lists $referrers $tags $digests /v1/images/*/json) $none}" \
    "${keep:-$delete $all $(with $catalogue $lists $referrers $tags $digests $images $content) $none}"; do
    [ "$pass" = keep ] || rsync $pass "$@" "$site/" "$dest" 8<&- 9<&-
done
