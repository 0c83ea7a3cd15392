//! A traffic source or sink for one host of a lab: see [`bartizan_lab::probe`].

#[expect(clippy::print_stdout, reason = "what it has to say is for whoever started it")]
fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    println!("{}", bartizan_lab::probe::run(&words)?);
    Ok(())
}
