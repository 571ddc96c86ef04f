//! What a server of a site answers: a table of requests, made for the tag of any site.

use super::support::hand_site::{ODD_NAMES, ODD_TAGS, TYPES};
use super::support::row::{METHODS, Row, V2_VERSION, get, row};
use super::support::sample::Sample;
use super::support::servers::Skills;

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const NO_REFERRERS: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
const ABSENT: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const UNKNOWN_MANIFEST: [&str; 2] = ["MANIFEST_UNKNOWN", "manifest unknown"];
const UNKNOWN_BLOB: [&str; 2] = ["BLOB_UNKNOWN", "blob unknown to registry"];
const UNKNOWN_NAME: [&str; 2] = ["NAME_UNKNOWN", "repository name not known to registry"];

/// All rows that hold for every site with this tag, on a server that can do this.
pub(crate) fn rows(of: &Sample, skills: Skills) -> Vec<Row> {
    let mut rows = layout_rows(of);
    rows.extend(signature_rows(of));
    rows.extend(v1_rows(of, skills));
    rows.extend(v1_errors(of));
    rows.extend(v2_rows(of));
    rows.extend(query_rows(of, skills));
    if !skills.pages {
        rows.extend(list_rows(of));
    }
    rows.extend(v2_errors(of));
    rows.extend(method_rows(of));
    rows.extend(escape_rows(of));
    rows.extend(hidden_rows(of));
    let no_referrers = format!("/v2/{}/referrers/sha256:{ABSENT}", of.name);
    if skills.empty_referrers {
        rows.push(get(&no_referrers).pointer(INDEX).body(NO_REFERRERS));
    }
    let no_referrers = skills.empty_referrers.then_some(no_referrers);
    rows.extend(conditional_rows(of, no_referrers));
    rows
}

/// The page for people and the OCI layout.
fn layout_rows(of: &Sample) -> Vec<Row> {
    let hex = of.blob.replace("sha256:", "");
    let blob = format!("/blobs/sha256/{hex}");
    let page = |path: &str, media_type| {
        get(format!("/{path}"))
            .pointer(media_type)
            .body(of.file(path))
    };
    vec![
        get("/").pointer("text/html").body(of.file("index.html")),
        page("index.html", "text/html"),
        page("_pages/_names.html", "text/html"),
        page("_pages/_style.css", "text/css"),
        page("_pages/_script.js", "text/javascript"),
        page("_pages/_icon.svg", "image/svg+xml"),
        page("_pages/_search.json", JSON),
        get("/_pages/").v1_error(404, "Not found"),
        get("/_pages").v1_error(404, "Not found"),
        get("/_pages/none.html").v1_error(404, "Not found"),
        get("/_pages/_style.css/").v1_error(404, "Not found"),
        get("/index.json").pointer(JSON).body(of.file("index.json")),
        get("/oci-layout").pointer(JSON).body(of.file("oci-layout")),
        get(&blob).immutable(BYTES).body(of.file(&blob[1..])),
        get(format!("/blobs/sha256/{ABSENT}")).v1_error(404, "Not found"),
        get("/blobs/sha256/").v1_error(404, "Not found"),
        get("/blobs/sha256").v1_error(404, "Not found"),
        get("/blobs").v1_error(404, "Not found"),
        get("/favicon.ico").v1_error(404, "Not found"),
        get("/index.html/").v1_error(404, "Not found"),
    ]
}

fn signature_rows(of: &Sample) -> Vec<Row> {
    let (path, is_there) = of.signature();
    let missing = |path: String| get(path).v1_error(404, "Not found");
    let folder = path.trim_end_matches("/signature-1");
    let mut rows = vec![
        missing(format!("/{folder}/signature-2")),
        missing(format!("/{folder}/")),
        missing("/lookaside/".into()),
    ];
    let first = get(format!("/{path}"));
    rows.push(if is_there {
        first.pointer(BYTES).body(of.file(&path))
    } else {
        first.v1_error(404, "Not found")
    });
    rows
}

fn v1_rows(of: &Sample, skills: Skills) -> Vec<Row> {
    let Sample { name, tag, id, .. } = of;
    let folder = format!("v1/repositories/{name}");
    let image = format!("v1/images/{id}");
    let tags = of.file(&format!("{folder}/tags/index.json"));
    let anonymous = "Token ";
    let file = |path: String| get(format!("/{path}")).body(of.file(&path));
    vec![
        file("v1/_ping".into()).pointer(JSON),
        get("/v1/search").pointer(JSON),
        file(format!("{folder}/images")).pointer(JSON),
        file(format!("{folder}/images")).with("X-Docker-Token", "true"),
        file(format!("{folder}/tags/{tag}")).pointer(JSON),
        file(format!("{folder}/tags/{tag}")).with("Authorization", anonymous),
        get(format!("/{folder}/tags"))
            .pointer(JSON)
            .body(tags.clone()),
        get(format!("/{folder}/tags/"))
            .pointer(JSON)
            .body(tags.clone()),
        get(format!("/{folder}/tags?n=1")).pointer(JSON).body(tags),
        v1_json(of, skills),
        file(format!("{image}/json")).with("Authorization", "Basic Og=="),
        file(format!("{image}/ancestry")).immutable(JSON),
        sized(of, skills, file(format!("{image}/layer")).immutable(BYTES))
            .lacks("Docker-Content-Digest"),
    ]
}

/// A row with the length of the layer, from a server that says it.
fn sized(of: &Sample, skills: Skills, row: Row) -> Row {
    if skills.sizes {
        let layer = of.file(&format!("v1/images/{}/layer", of.id));
        row.has("X-Docker-Size", layer.len().to_string())
    } else {
        row.lacks("X-Docker-Size")
    }
}

pub(crate) fn v1_json(of: &Sample, skills: Skills) -> Row {
    let path = format!("v1/images/{}/json", of.id);
    let row = get(format!("/{path}")).body(of.file(&path)).immutable(JSON);
    let row = sized(of, skills, row);
    match of.checksum() {
        Some(checksum) if skills.sizes => row.has("X-Docker-Checksum", checksum),
        _ => row.lacks("X-Docker-Checksum"),
    }
}

fn v1_errors(of: &Sample) -> Vec<Row> {
    let Sample { name, id, .. } = of;
    let image = |path: &str| get(format!("/v1/images/{path}")).v1_error(404, "Image not found");
    let repository =
        |path: &str| get(format!("/v1/repositories/{path}")).v1_error(404, "Repository not found");
    vec![
        image(&format!("{ABSENT}/json")),
        image(&format!("{ABSENT}/layer")),
        image(&format!("{ABSENT}/ancestry")),
        image(id),
        image(&format!("{id}/")),
        image(&format!("{id}/layer/")),
        image(&format!("{id}/files")),
        repository("no/such/images"),
        repository("no/such/tags"),
        repository("no/such/tags/"),
        repository(""),
        get(format!("/v1/repositories/{name}"))
            .status(404)
            .has("Content-Type", JSON),
        repository(&format!("{name}/")),
        repository(&format!("{name}/images/")),
        get(format!("/v1/repositories/{name}/tags/absent")).v1_error(404, "Tag not found"),
        get("/v1/repositories/no/such/tags/latest").v1_error(404, "Tag not found"),
        get("/v1").v1_error(404, "Not found"),
        get("/v1/").v1_error(404, "Not found"),
        get("/v1/users").v1_error(404, "Not found"),
        get("/v1/_ping/").v1_error(404, "Not found"),
        get("/v1x").v1_error(404, "Not found"),
    ]
}

/// A manifest by its tag: a pointer with its digest.
fn tagged(path: impl Into<String>, of: &Sample) -> Row {
    let row = get(path).moving(of.media_type);
    row.has("Docker-Content-Digest", &of.digest)
}

/// A server of files alone does not look at queries.
fn query_rows(of: &Sample, skills: Skills) -> Vec<Row> {
    let whole = of.file("v1/search");
    let mut rows = vec![get("/v1/search").pointer(JSON).body(whole.clone())];
    if !skills.search {
        let asked = get("/v1/search?q=app&page=2");
        rows.push(asked.pointer(JSON).body(whole));
    }
    if !skills.queries {
        let asked = get("/v2/_catalog?n=1");
        rows.push(asked.pointer(JSON).body(of.file("v2/_catalog")));
    }
    rows
}

/// Lists of tags: whole, or no list where a part is wanted.
fn list_rows(of: &Sample) -> Vec<Row> {
    let list = format!("v2/{}/tags/list", of.name);
    let whole = |query: &str| {
        let row = get(format!("/{list}{query}"));
        row.pointer(JSON).body(of.file(&list))
    };
    let refused = |query: &str| {
        let row = get(format!("/{list}{query}")).status(404);
        row.has("Content-Type", JSON)
            .has("Cache-Control", "no-cache")
    };
    vec![
        whole("?n=1000"),
        whole("?n="),
        whole("?x=1"),
        refused("?n=1&last=a"),
        refused("?n=999"),
        refused("?n=00001"),
        refused("?last=a"),
    ]
}

fn v2_rows(of: &Sample) -> Vec<Row> {
    let Sample {
        name,
        tag,
        digest,
        blob,
        ..
    } = of;
    let folder = format!("v2/{name}");
    let list = of.file(&format!("{folder}/tags/list"));
    let blob_path = format!("{folder}/blobs/{blob}");
    let manifest = of.file(&format!("{folder}/manifests/{tag}"));
    let by_tag = || tagged(format!("/{folder}/manifests/{tag}"), of).body(manifest.clone());
    vec![
        get("/v2/").pointer(JSON).body("{}"),
        get("/v2").pointer(JSON).body("{}"),
        get("/v2/")
            .with("User-Agent", "Docker-Client/20.10.24 (linux)")
            .has(V2_VERSION, "registry/2.0"),
        get("/v2/").with("User-Agent", "docker/1.9.1 go/go1.4.3"),
        get("/v2/").with("Authorization", "Basic Og==").body("{}"),
        get("/v2/_catalog")
            .pointer(JSON)
            .body(of.file("v2/_catalog")),
        get(format!("/{folder}/tags/list")).pointer(JSON).body(list),
        by_tag(),
        by_tag().with("Accept", "application/vnd.oci.image.manifest.v1+json"),
        by_tag().with("Accept-Encoding", "gzip"),
        get(format!("/{folder}/manifests/{digest}"))
            .immutable(of.media_type)
            .has("Docker-Content-Digest", digest)
            .body(manifest.clone()),
        get(format!("/{blob_path}"))
            .with("Accept-Encoding", "gzip")
            .immutable(BYTES)
            .has("Docker-Content-Digest", blob)
            .body(of.file(&blob_path)),
        get(format!("/{folder}/referrers/{digest}"))
            .pointer(INDEX)
            .body(of.file(&format!("{folder}/referrers/{digest}"))),
        get(format!("/{folder}/referrers/{digest}?artifactType=a/b")).pointer(INDEX),
    ]
}

fn v2_errors(of: &Sample) -> Vec<Row> {
    let Sample {
        name,
        tag,
        digest,
        blob,
        ..
    } = of;
    let fails = |path: String, [code, message]: [&str; 2]| {
        get(format!("/v2/{path}")).v2_error(404, code, message)
    };
    let upper = digest.to_uppercase().replace("SHA256", "sha256");
    let mut rows = vec![
        fails(format!("{name}/manifests/absent"), UNKNOWN_MANIFEST),
        fails(
            format!("{name}/manifests/sha256:{ABSENT}"),
            UNKNOWN_MANIFEST,
        ),
        fails(format!("{name}/manifests/{upper}"), UNKNOWN_MANIFEST),
        fails(format!("{name}/manifests/{tag}.om"), UNKNOWN_MANIFEST),
        fails(format!("no/such/manifests/{tag}"), UNKNOWN_MANIFEST),
        fails(format!("{name}/blobs/sha256:{ABSENT}"), UNKNOWN_BLOB),
        fails(format!("no/such/blobs/{blob}"), UNKNOWN_BLOB),
        fails(format!("{name}/blobs/{}", &blob[..20]), UNKNOWN_BLOB),
        fails(format!("{name}/blobs/latest"), UNKNOWN_BLOB),
    ];
    let folder = |path: &str| fails(format!("{name}/{path}"), UNKNOWN_NAME);
    let folders = [
        "",
        "manifests/",
        "blobs/",
        "tags/",
        "tags/list/",
        "referrers/",
    ];
    rows.extend(folders.map(folder));
    // In a name like `a/manifests`, these are a manifest too: which code they get depends on the name.
    for path in ["", "/manifests", "/blobs", "/tags"] {
        let path = format!("/v2/{name}{path}");
        rows.push(get(path).status(404).has("Content-Type", JSON));
    }
    rows.extend([
        fails("no/such/tags/list".into(), UNKNOWN_NAME),
        fails("tags/list".into(), UNKNOWN_NAME),
        fails("index.html".into(), UNKNOWN_NAME),
        fails("_catalog/".into(), UNKNOWN_NAME),
    ]);
    for (extension, _) in TYPES {
        rows.push(fails(
            format!("{name}/_types/{tag}.{extension}"),
            UNKNOWN_NAME,
        ));
        rows.push(fails(
            format!("{name}/_types/{digest}/{digest}.{extension}"),
            UNKNOWN_NAME,
        ));
    }
    rows
}

fn method_rows(of: &Sample) -> Vec<Row> {
    let Sample {
        name,
        tag,
        blob,
        id,
        ..
    } = of;
    let v2 = |method, path: String| {
        row(method, path).v2_error(405, "UNSUPPORTED", "this registry is read-only")
    };
    let v1 = |method, path: String| row(method, path).v1_error(405, "This registry is read-only");
    let preflight = |path: String| {
        row("OPTIONS", path)
            .status(204)
            .has("Access-Control-Allow-Methods", METHODS)
            .has("Access-Control-Allow-Headers", "Authorization, *")
            .has("Access-Control-Max-Age", "86400")
            .with("Origin", "https://ui.test")
            .with("Access-Control-Request-Method", "GET")
            .with("Access-Control-Request-Headers", "accept")
    };
    let long = || ("Content-Length", "9999999");
    vec![
        v2("PUT", format!("/v2/{name}/manifests/{tag}")),
        v2("DELETE", format!("/v2/{name}/manifests/{tag}")),
        v2("DELETE", format!("/v2/{name}/blobs/{blob}")),
        v2("POST", format!("/v2/{name}/blobs/uploads/")),
        v2("POST", "/v2/".into()).with(long().0, long().1),
        v2("PATCH", "/v2/no/such/thing".into()),
        v2("POST", "/".into()),
        v2("TRACE", "/v2/".into()),
        v1("PUT", format!("/v1/images/{id}/json")),
        v1("PUT", format!("/v1/images/{id}/layer")).with(long().0, long().1),
        v1("PUT", format!("/v1/repositories/{name}/tags/{tag}")),
        v1("DELETE", format!("/v1/repositories/{name}/")),
        v1("POST", "/v1/users".into()),
        v1("TRACE", "/v1/_ping".into()),
        preflight(format!("/v2/{name}/manifests/{tag}")),
        preflight("/v2/".into()),
        preflight("/v2/no/such/thing".into()),
        preflight(format!("/v1/repositories/{name}/tags")),
        preflight("/".into()),
    ]
}

/// Names may come with any character escaped, and with queries.
fn escape_rows(of: &Sample) -> Vec<Row> {
    let Sample {
        name,
        tag,
        digest,
        blob,
        media_type,
        id,
        ..
    } = of;
    let first = format!("%{:02x}{}", tag.as_bytes()[0], &tag[1..]);
    let colon = |digest: &str| digest.replace(':', "%3A");
    let by_tag = |path: String| tagged(path, of);
    vec![
        by_tag(format!("/v2/{name}/manifests/{first}")),
        by_tag(format!("/v2/{name}/manifests/{tag}?x=/blobs/{blob}")),
        get(format!("/v1/repositories/{name}/tags/{first}")).pointer(JSON),
        get(format!(
            "/v1/repositories/{}/tags",
            name.replace('/', "%2F")
        ))
        .pointer(JSON),
        get(format!("/v2/{name}/manifests/{}", colon(digest)))
            .immutable(media_type)
            .has("Docker-Content-Digest", digest),
        get(format!("/v2/{name}/blobs/{}", colon(blob)))
            .immutable(BYTES)
            .has("Docker-Content-Digest", blob),
        by_tag(format!("//v2//{name}/manifests/{tag}")),
        get(format!("/v2/{name}/manifests/{tag}%0a")).v2_error(
            404,
            UNKNOWN_MANIFEST[0],
            UNKNOWN_MANIFEST[1],
        ),
        get(format!("/v2/{name}/blobs/{blob}%0aX-Evil:%20yes"))
            .v2_error(404, UNKNOWN_BLOB[0], UNKNOWN_BLOB[1])
            .lacks("X-Evil"),
        get(format!("/v1/images/{id}%0a/json")).v1_error(404, "Image not found"),
        get(format!("/v2/{name}/manifests/%22%3Cb%3E")).v2_error(
            404,
            UNKNOWN_MANIFEST[0],
            UNKNOWN_MANIFEST[1],
        ),
    ]
}

/// Nothing but endpoints is served.
fn hidden_rows(of: &Sample) -> Vec<Row> {
    let hidden = |path: &str| get(path).v1_error(404, "Not found");
    let name = &of.name;
    let up = "..%2f".repeat(name.split('/').count() + 2);
    vec![
        hidden("/.stillage/lock"),
        hidden("/.stillage/"),
        hidden("/.stillage"),
        hidden("/%2estillage/lock"),
        hidden("/v2/../.stillage/lock"),
        hidden("/v2/%2e%2e/.stillage/lock"),
        hidden("/v2/..%2f.stillage/lock"),
        hidden(&format!("/v2/{name}/manifests/{up}.stillage/lock")),
        get("/../etc/passwd").status(400),
    ]
}

/// Whatever a client believes to have, it gets a pointer anew.
fn conditional_rows(of: &Sample, no_referrers: Option<String>) -> Vec<Row> {
    let Sample { name, tag, .. } = of;
    let mut pointers = vec![
        (format!("/v2/{name}/tags/list"), JSON),
        (format!("/v2/{name}/referrers/{}", of.digest), INDEX),
        ("/v2/_catalog".to_owned(), JSON),
        (format!("/v1/repositories/{name}/tags/{tag}"), JSON),
        (format!("/v1/repositories/{name}/tags"), JSON),
        (format!("/v1/repositories/{name}/images"), JSON),
        ("/".to_owned(), "text/html"),
    ];
    pointers.extend(no_referrers.map(|path| (path, INDEX)));
    let conditions = [
        ("If-Modified-Since", "Fri, 31 Dec 2100 23:59:59 GMT"),
        ("If-None-Match", "\"5f5e100-2\", W/\"5f5e100-2\""),
        ("If-None-Match", &of.digest),
    ];
    let mut rows = Vec::new();
    for (header, value) in conditions {
        let manifest = tagged(format!("/v2/{name}/manifests/{tag}"), of);
        rows.push(manifest.with(header, value));
        for (path, media_type) in &pointers {
            rows.push(get(path).with(header, value).pointer(media_type));
        }
    }
    rows
}

/// Rows that the hand-made site alone can answer: each type, odd repositories and tags.
pub(crate) fn hand_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (tag, media_type) in TYPES {
        rows.push(get(format!("/v2/sample/app/manifests/{tag}")).moving(media_type));
    }
    for tag in ODD_TAGS {
        rows.push(get(format!("/v2/sample/app/manifests/{tag}")).moving(TYPES[0].1));
        rows.push(get(format!("/v1/repositories/sample/app/tags/{tag}")).pointer(JSON));
    }
    for name in ODD_NAMES {
        rows.push(get(format!("/v2/{name}")).status(404));
        rows.push(get(format!("/v2/{name}/")).status(404));
    }
    // A folder where the APIs have a file: the repository `myorg` is none, `myorg/images` is one.
    rows.push(get("/v1/repositories/myorg/images").v1_error(404, "Repository not found"));
    rows.push(get("/v1/repositories/a/tags").v1_error(404, "Repository not found"));
    rows.push(get("/v1/repositories/a/tags/tags").pointer(JSON));
    rows.push(get("/v2/x/referrers/tags/list").v2_error(404, UNKNOWN_NAME[0], UNKNOWN_NAME[1]));
    rows
}
