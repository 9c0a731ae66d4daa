"""Makes tiny masked language models of every architecture, and the logits that transformers gives for them.

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0
    python3 masked.py              # all of them
    python3 masked.py electra      # one

For each case a folder in `masked/`:

config.json, model.safetensors   a random checkpoint of two layers, as transformers writes it; weights are f16
logits.f32                       the logits of every token of the texts below, [tokens, vocabulary], in f32

Weights come from fixed seeds and are f16, so that the files are small and f32 holds them exactly. The texts, of three
lengths, run as one padded batch; `token_ids.json` holds them.
"""

import json
import math
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

PLACE = Path(__file__).parent / "masked"
VOCABULARY = 64

SIZES = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=24)
ROBERTA = dict(SIZES, max_position_embeddings=26, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2)

# Settings of this run, not of the model.
LEFT_OUT = ["transformers_version", "_name_or_path", "_attn_implementation", "dtype"]

# By case: the name of the configuration class, and what it is given.
CASES = {
    "bert": ("Bert", dict(SIZES)),
    "bert_untied": ("Bert", dict(SIZES, tie_word_embeddings=False, hidden_act="gelu_new")),
    "roberta": ("Roberta", ROBERTA),
    "xlm_roberta": ("XLMRoberta", dict(ROBERTA, layer_norm_eps=1e-5)),
    "distilbert": ("DistilBert", dict(vocab_size=VOCABULARY, dim=32, hidden_dim=48, n_layers=2, n_heads=4,
                                      max_position_embeddings=24, activation="relu")),
    "electra": ("Electra", dict(SIZES, embedding_size=16)),
}


def randomize(model, seed):
    """Weights that keep numbers near 1: matrices by their inputs, norms around what leaves numbers as they are."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in sorted(model.named_parameters()):
        noise = torch.randn(weight.shape, generator=generator)
        if weight.dim() == 2:
            value = noise * (0.5 if "embeddings" in name else 1.5 / math.sqrt(weight.shape[1]))
        elif name.endswith("bias"):
            value = noise * 0.2
        else:
            value = 1.0 + noise * 0.2
        weight.data = value.half().float()


def texts():
    """Of 20, 7 and 1 tokens, without padding (0 and 1) but for one in the middle of the first, as a user may write it."""
    text = lambda length: [2 + (7 * index + index * index * 3) % (VOCABULARY - 2) for index in range(length)]
    first = text(20)
    first[9] = 1
    return [first, text(7), text(1)]


def build(case):
    class_name, settings = CASES[case]
    config = getattr(transformers, f"{class_name}Config")(**settings, attn_implementation="eager")
    model = transformers.AutoModelForMaskedLM.from_config(config).float().eval()
    randomize(model, seed=1 + list(CASES).index(case))
    model.tie_weights()
    return model


def logits(model):
    longest = max(map(len, texts()))
    padding = model.config.pad_token_id or 0
    ids = torch.tensor([text + [padding] * (longest - len(text)) for text in texts()])
    mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts()])
    with torch.no_grad():
        rows = model(input_ids=ids, attention_mask=mask).logits
    return torch.cat([rows[index, : len(text)] for index, text in enumerate(texts())]).float().numpy()


def write(case):
    model, folder = build(case), PLACE / case
    folder.mkdir(parents=True, exist_ok=True)
    config = {name: value for name, value in model.config.to_dict().items() if name not in LEFT_OUT}
    config["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    seen, weights = set(), {}
    # Tied tensors are kept under the name that comes first, which is the embedding's, as `save_pretrained` does.
    named = sorted(model.named_parameters(remove_duplicate=False), key=lambda named: "embeddings" not in named[0])
    for name, weight in named:
        if id(weight) not in seen:
            weights[name] = weight.data.half().contiguous()
        seen.add(id(weight))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    found = logits(model)
    (folder / "logits.f32").write_bytes(found.astype("<f4").tobytes())
    print(f"{case}: {len(weights)} tensors, logits from {found.min():.2f} to {found.max():.2f}")


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        write(case)
    (PLACE / "token_ids.json").write_text(json.dumps(texts()) + "\n")
