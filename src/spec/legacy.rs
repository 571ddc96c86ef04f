//! Configs for images from before Docker 1.10, which are described by v1 JSON only.
//!
//! Source: Docker 20.10 loading such an archive (`image/tarexport/load.go` `legacyLoadImage`,
//! `image/v1/imagev1.go` `HistoryFromConfig`, `MakeConfigFromV1Config`): the top image's JSON without the v1
//! fields, plus `rootfs` and one `history` entry for each image.

use crate::bail_invalid;
use crate::error::{escaped, invalid_input};
use crate::spec::digest::Digest;
use crate::spec::go_v1_image::{self, History};
use crate::spec::json::{RawObject, go_map, go_string};

/// Generates the config of a chain of v1 images.
///
/// `chain` holds the JSON of each image, `diff_ids` the digest of each uncompressed layer, both base first.
///
/// # Errors
/// If Docker could not load one of the images' JSON.
pub fn config(chain: &[impl AsRef<[u8]>], diff_ids: &[Digest]) -> anyhow::Result<Vec<u8>> {
    let Some(top) = chain.last().map(AsRef::as_ref) else {
        bail_invalid!("the chain of v1 images is empty")
    };
    let object = RawObject::parse(top)?;
    let normalised = if go_v1_image::is_normalised(object.string("docker_version")?.as_deref()) {
        Some(go_v1_image::normalised(top)?)
    } else {
        None
    };
    let kept: Vec<(&str, &str)> = match &normalised {
        Some(values) => values
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect(),
        None => object
            .0
            .iter()
            .map(|(key, value)| (key.as_str(), value.get()))
            .filter(|(key, _)| !OF_V1.contains(key))
            .collect(),
    };
    let diff_ids: Vec<String> = diff_ids
        .iter()
        .map(|diff_id| format!("\"{diff_id}\""))
        .collect();
    let rootfs = format!(
        "{{\"type\":\"layers\",\"diff_ids\":[{}]}}",
        diff_ids.join(",")
    );
    let history: Vec<String> = chain
        .iter()
        .map(|json| history_entry(json.as_ref()))
        .collect::<anyhow::Result<_>>()?;
    let history = format!("[{}]", history.join(","));
    Ok(go_map(kept.into_iter().chain([
        ("rootfs", rootfs.as_str()),
        ("history", history.as_str()),
    ])))
}

/// The keys of v1 JSON that do not belong in a config.
const OF_V1: [&str; 8] = [
    "id",
    "parent",
    "Size",
    "parent_id",
    "layer_id",
    "throwaway",
    "rootfs",
    "history",
];

fn history_entry(json: &[u8]) -> anyhow::Result<String> {
    let History {
        created,
        author,
        created_by,
        comment,
    } = History::parse(json)?;
    let mut entry = format!("{{\"created\":\"{created}\"");
    for (key, value) in [
        ("author", author),
        ("created_by", created_by),
        ("comment", comment),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            entry.push_str(",\"");
            entry.push_str(key);
            entry.push_str("\":");
            go_string(&mut entry, &value);
        }
    }
    entry.push('}');
    Ok(entry)
}

/// A time as Go reformats it: RFC 3339 without trailing zeros in the fraction. Go's zero time if missing.
pub(super) fn go_time(text: Option<&str>) -> anyhow::Result<String> {
    let Some(text) = text else {
        return Ok("0001-01-01T00:00:00Z".into());
    };
    let invalid = || {
        invalid_input(format!(
            "`created` is not an RFC 3339 time: `{}`",
            escaped(text)
        ))
    };
    let (seconds, rest) = text.split_at_checked(19).ok_or_else(invalid)?;
    let shape: String = seconds
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    if shape != "0000-00-00T00:00:00" || !is_date(seconds) {
        return Err(invalid());
    }
    let zone_at = rest.find(['Z', '+', '-']).ok_or_else(invalid)?;
    let (fraction, zone) = rest.split_at(zone_at);
    let digits = match fraction.strip_prefix('.') {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => digits,
        None if fraction.is_empty() => "",
        _ => return Err(invalid()),
    };
    let digits = digits[..digits.len().min(9)].trim_end_matches('0');
    let zone_shape: String = zone
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let zone = match zone {
        "Z" | "+00:00" | "-00:00" => "Z",
        _ if matches!(zone_shape.as_str(), "+00:00" | "-00:00") && is_offset(zone) => zone,
        _ => return Err(invalid()),
    };
    let dot = if digits.is_empty() { "" } else { "." };
    Ok(format!("{seconds}{dot}{digits}{zone}"))
}

/// Whether a time of the right shape exists. Like Go, this has no leap seconds.
fn is_date(text: &str) -> bool {
    let number = |from: usize, to: usize| text[from..to].parse::<u32>().unwrap_or(u32::MAX);
    let (year, month) = (number(0, 4), number(5, 7));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&number(8, 10))
        && number(11, 13) < 24
        && number(14, 16) < 60
        && number(17, 19) < 60
}

/// Whether an offset of the shape `+00:00` is less than a day.
fn is_offset(text: &str) -> bool {
    let number = |from: usize, to: usize| text[from..to].parse::<u32>().unwrap_or(u32::MAX);
    number(1, 3) < 24 && number(4, 6) < 60
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_reads_them() {
        for (input, output) in [
            (
                "2013-04-30T17:46:10.843673+03:00",
                "2013-04-30T17:46:10.843673+03:00",
            ),
            ("2013-04-30T17:46:10.840000Z", "2013-04-30T17:46:10.84Z"),
            ("2013-04-30T17:46:10.000+00:00", "2013-04-30T17:46:10Z"),
            ("2012-02-29T23:59:59Z", "2012-02-29T23:59:59Z"),
            (
                "2013-04-30T17:46:10.1234567891Z",
                "2013-04-30T17:46:10.123456789Z",
            ),
        ] {
            assert_eq!(go_time(Some(input)).unwrap(), output);
        }
        for input in [
            "",
            "2013-04-30",
            "2013-04-30T17:46:10",
            "2013-04-30 17:46:10Z",
            "2013-04-30T17:46:10.Z",
            "2013-04-30T17:46:10+0300",
            "2013-99-99T17:46:10Z",
            "2013-02-29T17:46:10Z",
            "2013-04-31T17:46:10Z",
            "2013-00-10T17:46:10Z",
            "2013-04-30T24:46:10Z",
            "2013-04-30T17:46:60Z",
            "2013-04-30T17:46:10+24:00",
        ] {
            assert!(go_time(Some(input)).is_err(), "{input}");
        }
    }

    #[test]
    fn a_chain_becomes_one_config() {
        let chain = [
            r#"{"id":"b","created":"2014-01-01T00:00:00Z"}"#,
            r#"{"id":"t","parent":"b","docker_version":"1.9.0","os":"linux","Size":5,"container_config":{"Cmd":["/bin/sh","-c","a < b"]},"author":"me"}"#,
        ];
        let digest = Digest::of(b"");
        let config = String::from_utf8(config(&chain, &[digest, digest]).unwrap()).unwrap();
        assert_eq!(
            config,
            format!(
                concat!(
                    r#"{{"author":"me","container_config":{{"Cmd":["/bin/sh","-c","a \u003c b"]}},"docker_version":"1.9.0","#,
                    r#""history":[{{"created":"2014-01-01T00:00:00Z"}},{{"created":"0001-01-01T00:00:00Z","author":"me","created_by":"/bin/sh -c a \u003c b"}}],"#,
                    r#""os":"linux","rootfs":{{"type":"layers","diff_ids":["{0}","{0}"]}}}}"#
                ),
                digest
            )
        );
    }
}
