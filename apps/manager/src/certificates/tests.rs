//! Certificates that are made, read and renewed.

use bartizan_model::xml;

use super::make::{Wanted, renew};
use super::*;

fn wanted(elements: &str) -> Result<Wanted, Vec<String>> {
    Wanted::read(&xml::parse(&format!("<generate>{elements}</generate>")).unwrap())
}

fn key_pair(pem: &str) -> rcgen::KeyPair {
    rcgen::KeyPair::from_pem(pem).unwrap()
}

#[test]
fn an_authority_signs_and_what_it_signed_can_be_renewed() {
    let authority = wanted("<name>Root</name><ca>yes</ca>").unwrap().sign(None).unwrap();
    let root = chain(&authority.pem).unwrap().remove(0);
    let described = facts(&root).unwrap();
    assert_eq!((described.common_name.as_str(), described.ca, described.algorithm.as_str()), ("Root", true, "EC"));
    assert_eq!(described.subject, described.issuer);

    let asked = "<name>web</name><organization><member>Example</member></organization>\
        <hostname><member>web.example</member></hostname><ip>192.0.2.1</ip><days-till-expiry>30</days-till-expiry>\
        <algorithm><ECDSA><ecdsa-nbits>384</ecdsa-nbits></ECDSA></algorithm>";
    let made = wanted(asked).unwrap().sign(Some((&root, key_pair(&authority.key)))).unwrap();
    let leaf = chain(&made.pem).unwrap().remove(0);
    let described = facts(&leaf).unwrap();
    assert_eq!((described.issuer.as_str(), described.ca), ("CN=Root", false));
    assert_eq!(described.ends_s - described.begins_s, 31 * 86_400);

    let own = key_pair(&made.key);
    let renewed = renew(&leaf, &own, Some((&root, key_pair(&authority.key))), 400).unwrap();
    let renewed = chain(&renewed).unwrap().remove(0);
    let again = facts(&renewed).unwrap();
    assert_eq!((again.subject, again.issuer), (described.subject, described.issuer));
    assert_eq!(again.ends_s - again.begins_s, 401 * 86_400);
    let (_, parsed) = X509Certificate::from_der(&renewed).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap().value.general_names.len();
    assert_eq!(names, 2, "host name and address stay");
    fits(vec![renewed], &key::read(&made.key, None).unwrap()).unwrap();
}

#[test]
fn everything_that_is_wrong_is_told() {
    let asked = "<hostname>no host</hostname><ip>300.1.1.1</ip><days-till-expiry>0</days-till-expiry>\
        <algorithm><RSA><rsa-nbits>2048</rsa-nbits></RSA></algorithm>";
    let wrong = wanted(asked).unwrap_err().join("; ");
    for part in
        ["`name` is missing", "`300.1.1.1` is no IP address", "`0` is no number of days", "RSA keys are not made"]
    {
        assert!(wrong.contains(part), "{part}: {wrong}");
    }
}

#[test]
fn keys_go_in_and_out_under_a_passphrase() {
    let made = wanted("<name>a</name>").unwrap().sign(None).unwrap();
    let key = key::read(&made.key, None).unwrap();
    let encrypted = key::to_encrypted_pem(&key, "open sesame").unwrap();
    assert!(encrypted.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    assert_eq!(key::read(&encrypted, Some("open sesame")).unwrap(), key);
    assert!(key::read(&encrypted, Some("open")).unwrap_err().contains("does not open"));
    assert!(key::read(&encrypted, None).unwrap_err().contains("`passphrase` is missing"));
    assert!(key::read(&encrypted[..100], Some("x")).unwrap_err().contains("cut off"));
    assert!(key::read("nothing", None).unwrap_err().contains("no private key"));
    assert_eq!(key::read(&key::to_pem(&key), None).unwrap(), key);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, other) = (wanted("<name>a</name>").unwrap(), wanted("<name>b</name>").unwrap());
    let (one, other) = (one.sign(None).unwrap(), other.sign(None).unwrap());
    let key = key::read(&other.key, None).unwrap();
    assert!(entry("a", &one.pem, Some(&key)).unwrap_err().contains("is not the certificate's"));
    assert!(entry("b", &other.pem, Some(&key)).is_ok());
    for (pem, reason) in [
        ("", "no `BEGIN CERTIFICATE`"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "no certificate"),
    ] {
        assert!(entry("c", pem, None).unwrap_err().contains(reason), "{pem}");
    }
}
