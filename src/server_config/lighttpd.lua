-- What a Stillage site answers. lighttpd runs this twice for each request: when it has decoded the path and
-- resolved `..` and `//` in it, and before it sends an answer.

local JSON  = "application/json"
local BYTES = "application/octet-stream"
local INDEX = "application/vnd.oci.image.index.v1+json"

-- A manifest's type is not in its name, and must be right: each lies a second time in `_types/`, where the
-- extension says it.
local TYPES = {
    { ".om", "application/vnd.oci.image.manifest.v1+json" },
    { ".oi", INDEX },
    { ".d2", "application/vnd.docker.distribution.manifest.v2+json" },
    { ".dl", "application/vnd.docker.distribution.manifest.list.v2+json" },
    { ".s1", "application/vnd.docker.distribution.manifest.v1+prettyjws" },
    { ".s0", "application/vnd.docker.distribution.manifest.v1+json" },
}

local PAGES = { html = "text/html", css = "text/css", js = "text/javascript", json = JSON, svg = "image/svg+xml" }

local NO_REFERRERS =
    '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'

local r    = lighty.r
local root = (r.req_attr["physical.doc-root"] or ""):gsub("/+$", "")
-- A request may be refused before it has a path.
local asked = r.req_attr["uri.path"] or (r.req_attr["request.orig-uri"] or "/"):gsub("%?.*", "")

-- The path below which the site is, if any: containerd and mirrors of Docker have it before `/v2/`, podman and CRI-O in
-- names.
local BELOW = ""
local function inside(path)
    if BELOW == "" or path == "/v2" or path == "/v2/" then return path end
    local rest = (path .. "/"):sub(1, #BELOW + 1) == BELOW .. "/" and path:sub(#BELOW + 1)
    if rest then return rest == "" and "/" or rest end
    local in_name = "/v2" .. BELOW .. "/"
    if path:sub(1, #in_name) == in_name then return "/v2/" .. path:sub(#in_name + 1) end
    return path:sub(1, 4) == "/v2/" and "/v2/-" or "/-"
end
local path = inside(asked)

local function is_sha256(hex)
    return #hex == 64 and not hex:find("[^0-9a-f]")
end

-- Of an algorithm that image-spec registers, whether a site has such digests or not.
local LENGTHS = { sha256 = 64, sha512 = 128, blake3 = 64 }
local function is_digest(text)
    local algorithm, hex = text:match("^(%w+):([0-9a-f]+)$")
    return algorithm and #hex == LENGTHS[algorithm]
end

-- Two cache classes. Content that its address identifies never changes. Everything else is a pointer (a tag,
-- a list), which may be replaced twice within a second by a file of equal size.
local function immutable(content_type, ...)
    return { immutable = true, type = content_type, files = { ... } }
end
local function pointer(content_type, ...)
    return { type = content_type, files = { ... } }
end

local function v1_endpoint(rest)
    local id, file = rest:match("^images/([^/]+)/(%l+)$")
    if id then
        if not is_sha256(id) then return nil end
        local layer = "/v1/images/" .. id .. "/layer"
        local found
        if file == "layer" then found = immutable(BYTES, path) end
        if file == "json" or file == "ancestry" or file == "checksum" then found = immutable(JSON, path) end
        -- With the length of the layer Docker 1.4 to 1.9 resume an interrupted transfer.
        if file == "layer" or file == "json" then found.layer = layer end
        if file == "json" then found.checksum = "/v1/images/" .. id .. "/checksum" end
        return found
    end
    -- `tags` is a folder, its list the file `index.json` in it: answered without a redirect, which the npm
    -- client would read as an empty list.
    if rest == "_ping" or rest == "search" or rest:find("^repositories/.+/images$")
        or rest:find("^repositories/.+/tags$") or rest:find("^repositories/.+/tags/[^/]*$") then
        return pointer(JSON, path, path .. "/index.json")
    end
end

-- For each tag the site has a symbolic link to the folder of its manifest, which holds one file named by the
-- digest. A copy under way has no link yet, and one on a disk without symbolic links never gets it.
local function linked_digest(link)
    local stat = lighty.c.stat(root .. link)
    if not (stat and stat.is_dir) then return nil end
    local only
    for name in lighty.c.readdir(root .. link) do
        local digest = name:match("^(sha256:%x+)%.%l%w$")
        if digest then
            if only then return nil end
            only = digest
        end
    end
    return only
end

-- Names have any number of components, and these may be called `tags` or `blobs` too: the last two
-- components of a path say what it is.
local function v2_endpoint(rest)
    if rest == "_catalog" then return pointer(JSON, path) end
    local name, kind, last = rest:match("^(.+)/([^/]+)/([^/]+)$")
    if not name then return nil end
    local hex = last:match("^sha256:(.*)$")
    local digest = hex and is_sha256(hex) and last
    local found
    if kind == "manifests" then
        found = digest and immutable() or pointer()
        local folder = "/v2/" .. name .. "/_types/"
        local linked = not digest and linked_digest("/v2/" .. name .. "/_tags/" .. last)
        found.stems = { folder .. last }
        if digest then found.stems = { folder .. digest .. "/" .. digest } end
        -- The link leads to the digest, and the digest to the file: header and body are of one manifest.
        if linked then
            table.insert(found.stems, 1, folder .. linked .. "/" .. linked)
            found.linked = linked
        end
    elseif kind == "blobs" and digest then
        found = immutable(BYTES, path)
    elseif kind == "tags" and last == "list" then
        return pointer(JSON, path)
    elseif kind == "referrers" and is_digest(last) then
        found = pointer(INDEX, path)
        found.absent = NO_REFERRERS
        return found
    else
        return nil
    end
    found.digest = digest
    return found
end

-- Only what is listed here is served: no file under .stillage/, no folder.
local function endpoint()
    if path:find("/.", 1, true) then return nil end
    if path == "/" or path == "/index.html" then return pointer("text/html", "/index.html") end
    local page = path:match("^/_pages/.+%.(%l+)$")
    if page then return PAGES[page] and pointer(PAGES[page], path) or nil end
    if path == "/oci-layout" or path == "/index.json" then return pointer(JSON, path) end
    if path == "/v2" or path == "/v2/" then return pointer(JSON, "/v2/index.html") end
    local blob = path:match("^/blobs/sha256/(.*)$")
    if blob then return is_sha256(blob) and immutable(BYTES, path) or nil end
    -- Simple-signing signatures, for clients whose registries.d says `lookaside: URL/lookaside`.
    local signed = path:match("^/lookaside/.+@sha256=(%x+)/signature%-%d+$")
    if signed then return is_sha256(signed) and pointer(BYTES, path) or nil end
    local api, rest = path:match("^/(v[12])/(.+)$")
    if api == "v1" then return v1_endpoint(rest) end
    if api == "v2" then return v2_endpoint(rest) end
end

local function is_readable(file)
    local stat = lighty.c.stat(file)
    if not (stat and stat.is_file) then return nil end
    local handle, why = io.open(file, "rb")
    if not handle then
        print(why)  -- goes to the error log
        return nil
    end
    handle:close()
    return stat
end

-- The first of its files that is there, with its type.
local function find(found)
    for number, stem in ipairs(found.stems or {}) do
        for _, type in ipairs(TYPES) do
            local file = root .. stem .. type[1]
            local stat = is_readable(file)
            if stat then
                if found.linked and number == 1 then found.digest = found.linked end
                return file, type[2], stat
            end
        end
    end
    for _, name in ipairs(found.files) do
        local file = root .. name
        local stat = is_readable(file)
        if stat then return file, found.type, stat end
    end
end

local is_v1 = path == "/v1" or path:sub(1, 4) == "/v1/"
-- Docker up to 0.9 takes a server without this header for no registry.
if is_v1 then r.resp_header["X-Docker-Registry-Version"] = "0.6.0" end

-- Pages of other origins, as of a registry UI, may read the site: there is no login that they could misuse. With one, as
-- by mod_auth, delete these two lines and the answer to OPTIONS.
r.resp_header["Access-Control-Allow-Origin"] = "*"
r.resp_header["Access-Control-Expose-Headers"] = "Docker-Content-Digest, Link"
local METHODS = "GET, HEAD, OPTIONS"

local function answer(status, content_type, cache, body)
    r.resp_header["Content-Type"] = content_type
    r.resp_header["Cache-Control"] = cache
    r.resp_body:set(body)
    return status
end

-- Clients read errors as JSON, each API in its own form. What is missing now may be published next.
local function fail(status, v1_message, v2_code, v2_message)
    local body
    if v2_code then
        body = '{"errors":[{"code":"' .. v2_code .. '","message":"' .. v2_message .. '","detail":null}]}'
    else
        body = '{"error": "' .. v1_message .. '"}'
    end
    return answer(status, JSON, "no-cache", body)
end

local function not_found()
    if path:find("^/v1/images/") then return fail(404, "Image not found") end
    if path:find("^/v1/repositories/.+/tags/[^/]+$") then return fail(404, "Tag not found") end
    if path:find("^/v1/repositories/") then return fail(404, "Repository not found") end
    if path:find("^/v2/.+/manifests/[^/]+$") then return fail(404, nil, "MANIFEST_UNKNOWN", "manifest unknown") end
    if path:find("^/v2/.+/blobs/[^/]+$") then return fail(404, nil, "BLOB_UNKNOWN", "blob unknown to registry") end
    if path:find("^/v2/.+/referrers/[^/]+$") then return fail(400, nil, "DIGEST_INVALID", "invalid digest") end
    if path == "/v2" or path:find("^/v2/") then
        return fail(404, nil, "NAME_UNKNOWN", "repository name not known to registry")
    end
    return fail(404, "Not found")
end

-- Whether a path leaves the root on its way.
local function climbs_out(raw)
    local depth = 0
    for part in raw:gsub("%?.*", ""):gmatch("[^/]+") do
        if part == ".." then depth = depth - 1 elseif part ~= "." then depth = depth + 1 end
        if depth < 0 then return true end
    end
    return false
end

local function read_only()
    r.resp_header["Allow"] = METHODS
    if is_v1 then return fail(405, "This registry is read-only") end
    return fail(405, nil, "UNSUPPORTED", "this registry is read-only")
end

-- Before an answer is sent there is a status: what lighttpd refused by itself gets its JSON here.
local status = r.req_item.http_status
if status ~= 0 then
    if status < 400 or r.resp_header["Cache-Control"] == "no-cache" then return end
    if status == 403 or status == 404 then return not_found() end
    if status == 411 or status == 501 then return read_only() end  -- a POST without length, no known method
    return fail(status, "Status " .. status)
end

local method = r.req_attr["request.method"]
if method == "OPTIONS" then
    r.resp_header["Allow"] = METHODS
    r.resp_header["Access-Control-Allow-Methods"] = METHODS
    r.resp_header["Access-Control-Allow-Headers"] = "Authorization, *"
    r.resp_header["Access-Control-Max-Age"] = "86400"
    return 204
end
if method ~= "GET" and method ~= "HEAD" then return read_only() end
if climbs_out(r.req_attr["request.orig-uri"]) then return fail(400, "Bad request") end

-- The addresses in pages are relative to the folder.
if BELOW ~= "" and asked == BELOW then
    r.resp_header["Location"] = BELOW .. "/"
    return 301
end

local found = endpoint()
if not found then return not_found() end
local file, content_type, stat = find(found)

-- The next `n` tags after `last` of a list, and whether there are more.
local function page(list, n, last)
    local name, all = list:match('^{"name":"([^"]*)","tags":%[(.*)%]}%s*$')
    if not name then return nil end
    local tags, more = {}, false
    for tag in all:gmatch('"([^"]*)"') do
        if tag > last then
            if #tags == n then more = true break end
            tags[#tags + 1] = tag
        end
    end
    local quoted = #tags > 0 and '"' .. table.concat(tags, '","') .. '"' or ""
    return '{"name":"' .. name .. '","tags":[' .. quoted .. "]}", more and tags[#tags]
end

local function decoded(text)
    return (text:gsub("%+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end
local function parameter(name)
    for key, value in (r.req_attr["uri.query"] or ""):gmatch("([^&=]+)=([^&]*)") do
        if key == name then return decoded(value) end
    end
end

local function escaped(text)
    return (text:gsub('[%c"\\\127]', function(c) return string.format("\\u%04x", c:byte()) end))
end

-- The repositories whose name has the term in it: `n` to a page, 25 by default and at most 100.
local function search(list)
    local function number(name, default)
        local text = parameter(name) or ""
        return math.max(1, text:find("^%d+$") and tonumber(text) or default)
    end
    local term, size, page = parameter("q") or "", math.min(number("n", 25), 100), number("page", 1)
    local results, count = {}, 0
    for result, name in list:match('"results":(.*)$'):gmatch('({[^{}]*"name":"([^"]*)"[^{}]*})') do
        if name:find(term:lower(), 1, true) then
            count = count + 1
            if count > size * (page - 1) and count <= size * page then results[#results + 1] = result end
        end
    end
    return string.format('{"num_pages":%d,"num_results":%d,"page":%.0f,"page_size":%d,"query":"%s","results":[%s]}',
        math.max(1, math.ceil(count / size)), count, page, size, escaped(term), table.concat(results, ","))
end

local function content(file)
    local handle = io.open(file, "rb")
    local text = handle:read("*a")
    handle:close()
    return text
end

local POINTER = "public, max-age=60, must-revalidate"
if path == "/v1/search" and file and (parameter("q") or parameter("n") or parameter("page")) then
    return answer(200, JSON, POINTER, search(content(file)))
end
if path:find("^/v2/.+/tags/list$") and file and (parameter("n") or parameter("last")) then
    local n = parameter("n")
    n = not n and math.huge or n:find("^%d+$") and tonumber(n)
    if not n then return fail(400, nil, "UNSUPPORTED", "invalid number of results requested") end
    local body, next = page(content(file), n, parameter("last") or "")
    if body then
        if next then
            local address = asked .. "?n=" .. parameter("n") .. "&last=" .. next
            r.resp_header["Link"] = "<" .. address .. '>; rel="next"'
        end
        return answer(200, JSON, POINTER, body)
    end
end

if not found.immutable then
    -- Sent as it is, so with neither ETag nor Last-Modified: these could not tell two files of one second
    -- apart. A cache that revalidates gets the file, and so does a client that would resume.
    r.req_header["Range"] = nil
    local body = file and { filename = file } or found.absent
    if not body then return not_found() end
    if found.digest then r.resp_header["Docker-Content-Digest"] = found.digest end
    -- `docker manifest` of Docker up to 20.10 wants this on /v2/. Never send it to the daemons of Docker 1.6 to 1.9
    -- (`docker/1.9.1`): its absence is what sends them to v1. Behind a cache that does not tell clients apart, only
    -- sites without v1 may send it.
    local is_docker_client = (r.req_header["User-Agent"] or ""):find("^Docker%-Client/")
    if (path == "/v2" or path == "/v2/") and (is_docker_client or not is_readable(root .. "/v1/_ping")) then
        r.resp_header["Docker-Distribution-Api-Version"] = "registry/2.0"
    end
    return answer(200, content_type or found.type, POINTER,
        file and { body } or body)
end
if not file then return not_found() end

-- lighttpd knows too late that a range lies beyond the end: its 416 would be an HTML page. Of HEAD, and of what is no
-- range or more than one, all is sent (RFC 9110, 14.2).
local range = method == "GET" and r.req_header["Range"] or ""
local from, to = range:match("^bytes=(%d*)%-(%d*)$")
local first, last = tonumber(from), tonumber(to)
if not (first or last) or first and last and first > last then
    r.req_header["Range"] = nil
elseif first and first >= stat.st_size or not first and last == 0 then
    r.req_header["Range"] = nil
    if not r.req_header["If-Range"] then
        r.resp_header["Content-Range"] = "bytes */" .. stat.st_size
        if path:find("^/v2/") then return fail(416, nil, "UNSUPPORTED", "no such range") end
        return fail(416, "No such range")
    end
end

r.resp_header["Content-Type"] = content_type
r.resp_header["Cache-Control"] = "public, max-age=31536000, immutable"
if found.digest then r.resp_header["Docker-Content-Digest"] = found.digest end
-- ollama asks for parts of a blob where this says.
if path:find("^/v2/.+/blobs/[^/]+$") then r.resp_header["Location"] = "./" .. found.digest end
local layer = found.layer and lighty.c.stat(root .. found.layer)
if layer then r.resp_header["X-Docker-Size"] = layer.st_size end
local checksum = found.checksum and io.open(root .. found.checksum, "rb")
if checksum then
    r.resp_header["X-Docker-Checksum"] = checksum:read("*a"):match("^sha256:(%x+)%s*$")
    checksum:close()
end
r.req_attr["physical.path"] = file  -- and lighttpd sends it, with validators and ranges
