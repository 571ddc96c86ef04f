//! Images from before Docker 1.10: the config that is made for them is the one that Docker 20.10
//! makes when it loads the same archive, whatever shape their JSON has.

use std::fs;

use serde_json::json;

use crate::support::archive::{Archive, Image};
use crate::support::clients::Docker;
use crate::support::files::digest;
use crate::support::process::run;
use crate::support::servers::nginx::Nginx;
use crate::support::site::{build, json as read};
use crate::support::temp::TempDir;

/// JSON of top images, without their ids: what Docker 0.6 to 1.9 wrote, and what else is legal.
const TOPS: [&str; 34] = [
    r##""created":"2013-04-30T17:46:10.843673+03:00","docker_version":"0.6.6","config":null"##,
    r##""docker_version":"0.7.0""##,
    r##""created":null,"comment":"","author":"" "##,
    r##""created":"2014-01-01T00:00:00.120000000Z","docker_version":"1.8.2","os":"linux","architecture":"amd64""##,
    r##""created":"2014-01-01T00:00:00.120000000Z","docker_version":"1.8.3","os":"linux","architecture":"amd64""##,
    r##""created":"2014-01-01T00:00:00+00:00","container":"abc","docker_version":"1.0.0","throwaway":true"##,
    r##""created":"2014-01-01T00:00:00Z","docker_version":"1.9.1","throwaway":true,"parent_id":"x","layer_id":"y","Size":5"##,
    r##""docker_version":"1.3.0","Size":77,"checksum":"tarsum+sha256:00","os":"linux""##,
    r##""docker_version":"1.9.0","Size":77,"checksum":"tarsum+sha256:00","os":"linux""##,
    r##""docker_version":"1.2.0","config":{"Hostname":"h","Domainname":"","User":"me","Memory":0,"MemorySwap":0,"CpuShares":0,"Cpuset":"","PortSpecs":null,"Tty":true,"Env":["A=1"],"Cmd":["/bin/sh","-c","x"],"Dns":null,"VolumesFrom":"","Volumes":{"/data":{}},"WorkingDir":"/","Entrypoint":null,"NetworkDisabled":false,"OnBuild":[]}"##,
    r##""docker_version":"1.2.0","config":{"ExposedPorts":{"80/tcp":{},"443/tcp":{"a":1}},"Labels":{"b":"2","a":"<&>"},"OnBuild":["RUN x"],"NetworkDisabled":true,"MacAddress":"02:42"}"##,
    r##""docker_version":"1.2.0","config":{"ExposedPorts":{},"Labels":{},"Volumes":{},"Env":[],"Cmd":[],"OnBuild":null,"MacAddress":""}"##,
    r##""docker_version":"1.0.0","config":{"Cmd":"one string","Entrypoint":"another"},"container_config":{"Cmd":"joined"}"##,
    r##""docker_version":"1.9.0","container_config":{"Cmd":["/bin/sh","-c","<a> & \"b\""]},"author":"Zoë","comment":"c\ud83d\ude00""##,
    r##""docker_version":"1.0.0","container_config":{"Cmd":["/bin/sh","-c","#(nop) ","CMD [\"a\"]"]},"author":"Zo\u00eb \u003cz@x\u003e","comment":"a\/b\u2028c\u007f\b\f""##,
    r##""docker_version":"1.9.0","author":"Zo\u00eb \u003cz@x\u003e","comment":"a\/b\u2028c""##,
    r##""docker_version":"1.9.0","unknown":{"z":1,"a":[1e999,12345678901234567890123,-0.0]},"os":"linux""##,
    r##""docker_version":"1.0.0","unknown":{"z":1},"os":"linux""##,
    "\"docker_version\" : \"1.9.0\" ,\n\t\"config\" : { \"Env\" : [ \"A=1 2\" , null ] ,\r\n \"x\" : \"  \" } ",
    r##""docker_version":"1.0.0","config":{"Env":["A=1 2",null],"Labels":{"a":null},"Volumes":{"/x":null}}"##,
    r##""docker_version":"1.9.0","os":"a","os":"linux""##,
    r##""docker_version":"1.0.0","comment":"a","comment":"b""##,
    r##""Docker_Version":"1.0.0","OS":"linux","CONFIG":{"CMD":["x"],"workingdir":"/w"},"Author":"me""##,
    r##""docker_version":"1.0.0","architecture":"arm","variant":"v7","os":"linux""##,
    r##""config":{"Healthcheck":{"Test":["NONE"],"Interval":1000000000,"Timeout":0,"Retries":3},"StopSignal":"9","StopTimeout":0,"Shell":["/bin/ash"],"ArgsEscaped":true}"##,
    r##""docker_version":"1.8.3-rc1","config":{"Healthcheck":{},"StopTimeout":null,"Shell":[]}"##,
    r##""docker_version":"1.8","config":{"Image":"<x>","AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"OpenStdin":true,"StdinOnce":true}"##,
    r##""docker_version":"dev","container_config":null"##,
    r##""docker_version":"","container_config":{"Hostname":"é\u0000"}"##,
    r##""docker_version":"1.10.0-dev","rootfs":{"type":"x"},"history":[1]"##,
    r##""docker_version":"1.6.2","id2":1,"created":"0001-01-01T00:00:00Z""##,
    r##""docker_version":"1.6.2","created":"2015-12-31T23:59:59.999999999-11:30""##,
    r##""docker_version":"1.9.1","created":"2015-12-31T23:59:59.100Z","config":{"a":{"c":1,"b":2}},"<key>":"&""##,
    r##""docker_version":"1.9.1","config":{"Labels":{"x":"\ud800"}}"##,
];

/// An archive of Docker 1.x with one image for each top, `case/<number>:1`, over a base layer.
fn archive() -> Archive {
    let mut archive = Archive::default();
    let mut repositories = json!({});
    for (number, top) in TOPS.iter().enumerate() {
        // The second layer is the empty one that Docker 1.x gave to every metadata step.
        let image = Image::new(&[&format!("case/{number}:1")])
            .layer("etc/base", "base")
            .layer_tar(vec![0; 1024]);
        let (base, id) = (Archive::v1_id(&image, 0), Archive::v1_id(&image, 1));
        archive = archive
            .and(Archive::docker_1(&[image]).drop("repositories"))
            .set_file(
                &format!("{base}/json"),
                format!(r#"{{"id":"{base}","created":"2014-01-02T03:04:05.060Z"}}"#),
            )
            .set_file(
                &format!("{id}/json"),
                format!(r#"{{"id":"{id}","parent":"{base}",{top}}}"#),
            );
        repositories[format!("case/{number}")] = json!({"1": id});
    }
    archive.json("repositories", &repositories)
}

#[test]
fn configs_equal_those_of_docker_20_10() {
    let folder = TempDir::new("legacy");
    let (file, site) = (folder.path().join("archive"), folder.path().join("site"));
    fs::write(&file, archive().tar()).unwrap();
    build(&[file.to_str().unwrap()], &site);
    let docker = Docker::start();
    run(docker.command().arg("load").arg("--input").arg(&file)).unwrap();
    let mut wrong = Vec::new();
    for (number, top) in TOPS.iter().enumerate() {
        let manifest = read(site.join(format!("v2/case/{number}/manifests/1")));
        let ours = manifest["config"]["digest"].as_str().unwrap().to_owned();
        let loaded = docker.inspect(&format!("case/{number}:1")).unwrap();
        if loaded["Id"] != *ours {
            let config =
                fs::read_to_string(site.join(format!("v2/case/{number}/blobs/{ours}"))).unwrap();
            let id = loaded["Id"]
                .as_str()
                .unwrap()
                .trim_start_matches("sha256:")
                .to_owned();
            let theirs = docker.stored_config(&id);
            wrong.push(format!(
                "{number}: {top}\n  ours   {config}\n  docker {theirs}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What was made for legacy images survives a pull by docker, and its `docker save`.
#[test]
fn a_pull_and_a_save_bring_the_same_image_back() {
    let folder = TempDir::new("round");
    let site = folder.path().join("site");
    build(&["fixtures/docker-1.4.1.tar"], &site);
    let nginx = Nginx::start(&site);
    let docker = Docker::start();
    for (name, tag) in [
        ("sample/hello", "1.0"),
        ("sample/child", "2.0"),
        ("tiny", "1"),
    ] {
        let reference = format!("127.0.0.1:{}/{name}:{tag}", nginx.port);
        run(docker.command().args(["pull", "--quiet", &reference])).unwrap();
        let saved = folder.path().join("saved");
        run(docker
            .command()
            .args(["save", &reference, "--output"])
            .arg(&saved))
        .unwrap();
        let again = folder.path().join("again");
        build(&[saved.to_str().unwrap()], &again);
        let manifest = |site: &std::path::Path| {
            digest(&fs::read(site.join(format!("v2/{name}/manifests/{tag}"))).unwrap())
        };
        assert_eq!(manifest(&again), manifest(&site), "{name}");
        fs::remove_dir_all(again).unwrap();
    }
}
