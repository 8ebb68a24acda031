"""Scores random verdicts as the package rewardbench does.

    python tests/parity/rewardbench_scores.py VERDICTS.json

VERDICTS.json holds {"v1": [{"subset", "result"}], "v2": [{"id", "subset", "num_correct", "scores"}]}: a result is 0 or 1,
and the scores of a question are those of its right answers and then those of its wrong ones. Prints one JSON object with
the sections of each.
"""

import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
from datasets import Dataset
from rewardbench.constants import EXAMPLE_COUNTS, SUBSET_MAPPING
from rewardbench.utils import calculate_scores_per_section, process_single_model, reroll_and_score_dataset


def first(rows: list[dict]) -> dict[str, float]:
    """Sections of RewardBench from the accuracy of each subset."""
    results: dict[str, list[int]] = {}
    for row in rows:
        results.setdefault(row["subset"], []).append(row["result"])
    accuracy = {subset: sum(values) / len(values) for subset, values in results.items()}
    return calculate_scores_per_section(EXAMPLE_COUNTS, SUBSET_MAPPING, accuracy)


def second(rows: list[dict]) -> dict[str, float]:
    """Subsets of RewardBench 2: one row an answer goes in, as its script has it."""
    flat = [
        {"id": row["id"], "subset": row["subset"], "num_correct": row["num_correct"], "text": str(at), "scores": score}
        for row in rows
        for at, score in enumerate(row["scores"])
    ]
    rerolled = reroll_and_score_dataset(Dataset.from_list(flat), [len(row["scores"]) for row in rows])
    scores: dict[str, float] = {}
    for subset in np.unique(rerolled["subset"]):
        part = rerolled.filter(lambda row: row["subset"] == subset)
        if subset == "Ties":
            _, scores["Ties"] = process_single_model(part)
        else:
            scores[str(subset)] = float(np.mean(part["results"]))
    return scores


def main() -> None:
    verdicts = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps({"v1": first(verdicts["v1"]), "v2": second(verdicts["v2"])}))


if __name__ == "__main__":
    main()
