//! The migrations and the web page are compiled in: a new one must build the crate anew.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
    // A debug build reads the page from its folder when it is asked.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed=../../web/dist");
    }
}
