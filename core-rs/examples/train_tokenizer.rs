//! Trains a byte-level BPE tokenizer in which every digit is its own token, and writes a `tokenizer.json`:
//!
//! ```sh
//! cargo run --release --example train_tokenizer -- \
//!     --vocab 4096 --special '<|im_start|>' '<|im_end|>' --input corpus.txt --output tokenizer.json
//! ```
//!
//! Special tokens get the first ids in the order given, then come the 256 bytes, then the merges. The same input gives
//! the same file.

use std::error::Error;
use std::fs;
use std::process::ExitCode;

use rmr1_core::tokenizer::Tokenizer;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    TokenizerBuilder,
};

#[derive(Default)]
struct Options {
    vocab: usize,
    special: Vec<String>,
    input: Vec<String>,
    output: String,
}

fn options(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    let mut option = String::new();
    for argument in arguments {
        if argument.starts_with("--") {
            option = argument;
            continue;
        }
        match option.as_str() {
            "--vocab" => {
                options.vocab =
                    argument.parse().map_err(|_| format!("--vocab is \"{argument}\", expected a number"))?;
            }
            "--special" => options.special.push(argument),
            "--input" => options.input.push(argument),
            "--output" => options.output = argument,
            _ => return Err(format!("Unknown option \"{option}\" before \"{argument}\"")),
        }
    }
    let least = 256 + options.special.len();
    if options.vocab < least {
        return Err(format!(
            "--vocab is \"{}\", expected at least {least}: bytes and special tokens",
            options.vocab
        ));
    }
    if options.input.is_empty() || options.output.is_empty() {
        return Err("Expected --input FILE… and --output FILE".into());
    }
    Ok(options)
}

fn main() -> ExitCode {
    match train() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn train() -> Result<(), Box<dyn Error>> {
    let options = options(std::env::args().skip(1))?;
    let mut texts = Vec::new();
    for file in &options.input {
        texts.push(fs::read_to_string(file).map_err(|error| format!("Cannot read \"{file}\": {error}"))?);
    }
    let special = options.special.iter().map(|token| AddedToken::from(token.as_str(), true)).collect();
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(options.vocab)
        .special_tokens(special)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build();
    let byte_level = ByteLevel::default().add_prefix_space(false);
    let pieces = Sequence::new(vec![Digits::new(true).into(), byte_level.into()]);
    let mut trained = TokenizerBuilder::<
        BPE,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    >::new()
    .with_model(BPE::default())
    .with_pre_tokenizer(Some(pieces.into()))
    .with_decoder(Some(byte_level.into()))
    .build()
    .map_err(|error| error.to_string())?;
    let lines = texts.iter().flat_map(|text| text.split_inclusive('\n'));
    trained.train(&mut trainer, lines).map_err(|error| error.to_string())?;
    let json = trained.to_string(false).map_err(|error| error.to_string())?;

    let tokenizer = Tokenizer::from_json(json.as_bytes())?;
    fs::write(&options.output, tokenizer.to_json())?;
    let tokens: usize =
        texts.iter().map(|text| tokenizer.encode(text).map(|ids| ids.len())).sum::<Result<_, _>>()?;
    let bytes: usize = texts.iter().map(String::len).sum();
    println!(
        "{} tokens, {:.2} bytes of the input a token",
        tokenizer.vocab_size(),
        bytes as f64 / tokens as f64
    );
    Ok(())
}
