//! Notes on what old versions of Docker refuse although it is served.

use serde_json::json;

use crate::support::archive::Image;
use crate::support::place::{Place, image};
use crate::support::site::stderr;

/// The notes are the same when the image is in the site already.
fn is_noted(source: &str, place: &Place, note: &str) {
    for _ in 0..2 {
        let said = stderr(&place.build(&[source]));
        assert!(said.contains(note), "{said}");
    }
}

#[test]
fn a_command_that_is_a_string_is_noted() {
    let place = Place::new();
    let command = |name: &str, command: serde_json::Value| {
        image(name, "x").config(move |config| config["container_config"] = json!({"Cmd": command}))
    };
    let source = place.tar("text", &[command("text:1", json!("/bin/sh"))]);
    let note = "text:1: `container_config.Cmd` is a string, which Docker up to 1.6 refuses";
    is_noted(&source, &place, note);
    let place = Place::new();
    let source = place.tar("words", &[command("words:1", json!(["/bin/sh"]))]);
    let said = stderr(&place.build(&[&source]));
    assert!(!said.contains("Cmd"), "{said}");
}

#[test]
fn many_layers_are_noted() {
    for (count, note) in [
        (124, None),
        (
            125,
            Some("many:1 has 125 layers: Docker up to 1.9 cannot run it\n"),
        ),
        (
            126,
            Some(
                "many:1 has 126 layers: Docker up to 1.9 cannot run it, and Docker 1.10 to 25 cannot pull it\n",
            ),
        ),
    ] {
        let layers = 0..count;
        let image = layers.fold(Image::new(&["many:1"]), |image, number| {
            image.layer("file", &number.to_string())
        });
        let place = Place::new();
        let source = place.tar("many", &[image]);
        match note {
            Some(note) => is_noted(&source, &place, note),
            None => assert!(!stderr(&place.build(&[&source])).contains("layers: ")),
        }
    }
}
