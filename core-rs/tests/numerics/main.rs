//! Holds the core against transformers, and the sampler, the trainer and every way to lay out a batch against
//! one another. References are made by `tests/parity/*.py`.

mod bf16;
mod determinism;
mod fixture;
mod forest;
mod frozen;
mod int8;
mod lora;
mod sampler_trainer;
mod scheduling;
mod smollm2_parity;
mod support;
mod tiny_model_parity;
