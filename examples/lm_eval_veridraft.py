"""Lets lm-evaluation-harness (https://github.com/EleutherAI/lm-evaluation-harness) evaluate models with Veridraft.

    pip install lm-eval
    cargo build --release
    python examples/lm_eval_veridraft.py --tasks veridraft_facts,veridraft_passages --include_path examples/lm_eval

The options are those of `lm_eval`; the harness has no place for models of others, so this file starts it. `--model
veridraft` is understood, and `--model_args` takes the options of `veridraft score` that have a value, with the program's path as `program`:

    --model_args model=smollm2-135m,weights=f32,max_length=2048,threads=8,program=target/release/veridraft

From Python, import this file and give `simple_evaluate` `model="veridraft"` or a `Veridraft` that is open already.

One `veridraft score -` runs for as long as the model is used: it is asked in JSON lines through a pipe and answers in
the same order, while it reads on. It tokenizes as the harness does for causal models, so that scores can be compared
with those of its own `hf` model. Tasks that score given answers (multiple choice) or whole texts (perplexity) work;
those that generate do not.
"""

import json
import os
import subprocess
import sys
import threading

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from tqdm import tqdm

# Where `cargo build --release` puts the program, if it has been run; else it is looked for in the path.
BUILT = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "target", "release", "veridraft")
# What the harness passes to every model and Veridraft decides for itself.
NOT_OURS = {"batch_size", "max_batch_size", "device"}


@register_model("veridraft")
class Veridraft(LM):
    def __init__(self, program=None, **options):
        """`options` are those of `veridraft score` that take a value: `max_length=2048` is `--max-length 2048`."""
        super().__init__()
        program = program or (BUILT if os.path.exists(BUILT) else "veridraft")
        command = [str(program), "score", "-"]
        for name, value in options.items():
            if name not in NOT_OURS and value is not None:
                command += ["--" + name.replace("_", "-"), str(value)]
        self.model_name = options.get("model") or "the default model"
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def loglikelihood(self, requests, disable_tqdm=False):
        rows = [{"context": request.args[0], "continuation": request.args[1]} for request in requests]
        results = []
        for answer, request in zip(self._ask(rows, disable_tqdm), requests):
            results.append((self._logprob(answer), answer["is_greedy"]))
            self.cache_hook.add_partial("loglikelihood", request.args, results[-1])
        return results

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        rows = [{"text": request.args[0]} for request in requests]
        results = []
        for answer, request in zip(self._ask(rows, disable_tqdm), requests):
            results.append(self._logprob(answer))
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, results[-1])
        return results

    def generate_until(self, requests, disable_tqdm=False):
        raise NotImplementedError(
            "this adapter scores given texts and generates none: tasks with `output_type: multiple_choice`, "
            "`loglikelihood` and `loglikelihood_rolling` work, tasks with `output_type: generate_until` do not"
        )

    @property
    def tokenizer_name(self):
        return self.model_name.replace("/", "__")

    def close(self):
        """Ends the program."""
        self.process.stdin.close()
        self.process.wait()

    def _ask(self, rows, disable_tqdm):
        """Yields the answer to each row. Rows are written beside, as neither pipe holds all of them."""
        writer = threading.Thread(target=self._write, args=(rows,), daemon=True)
        writer.start()
        for row in tqdm(rows, desc="veridraft score", disable=disable_tqdm):
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"`veridraft score` ended with status {self.process.wait()}; it says why above")
            answer = json.loads(line)
            if "error" in answer:
                # Answers of later rows are still in the pipe; nobody may take them for those of other rows.
                self.process.kill()
                raise ValueError(f"`veridraft score` cannot score {json.dumps(row)[:200]}: {answer['error']}")
            yield answer
        writer.join()

    def _write(self, rows):
        try:
            for row in rows:
                self.process.stdin.write(json.dumps(row) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # The program has ended; who reads its answers finds out why.

    @staticmethod
    def _logprob(answer):
        """JSON has no infinities: what a model excludes is null."""
        return float("-inf") if answer["logprob"] is None else answer["logprob"]


def main():
    from lm_eval.__main__ import cli_evaluate

    if "--model" not in sys.argv:
        sys.argv[1:1] = ["--model", "veridraft"]
    cli_evaluate()


if __name__ == "__main__":
    main()
