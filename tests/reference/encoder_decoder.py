"""Makes tiny checkpoints of models with an encoder, and the logits that their own libraries give for them.

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0
    python3 encoder_decoder.py            # all of them
    python3 encoder_decoder.py t5         # one

For each case a folder in `encoder_decoder/`:

config.json, model.safetensors   a random checkpoint, two layers on either side; weights are f16
source_ids.json, token_ids.json  a source, and a text behind the start token; longer than T5's largest distance
logits.f32                       the text's logits, [tokens, vocabulary], in f32

`nn_transformer` is PyTorch's `torch.nn.Transformer` between an embedding and a head, under BART's names.
"""

import json
import math
import sys
from pathlib import Path

import torch
import transformers
from architectures import LEFT_OUT, randomize
from safetensors.torch import save_file

from torch_transformer import config_of, renamed

PLACE = Path(__file__).parent / "encoder_decoder"
VOCABULARY, SOURCE, TOKENS, WIDTH = 64, 37, 40, 32

T5 = dict(vocab_size=VOCABULARY, d_model=WIDTH, d_kv=16, d_ff=48, num_layers=2, num_heads=2, pad_token_id=0,
          decoder_start_token_id=0, relative_attention_num_buckets=8, relative_attention_max_distance=20)
BART = dict(vocab_size=VOCABULARY, d_model=WIDTH, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=48, decoder_ffn_dim=64, max_position_embeddings=64,
            pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=None)

# By case: the name of the model's class without its end, and what its configuration is given.
CASES = {
    "t5": ("T5", dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False, num_decoder_layers=3)),
    "t5_plain": ("T5", dict(T5, feed_forward_proj="relu")),
    "bart": ("Bart", dict(BART, activation_function="gelu")),
    "bart_scaled": ("Bart", dict(BART, activation_function="relu", scale_embedding=True)),
    "marian": ("Marian", dict(BART, activation_function="swish", scale_embedding=True)),
    "nn_transformer": None,
}


def ids(count, step):
    return [(step * index + index * index * 3) % (VOCABULARY - 3) + 3 for index in range(count)]


class Torch(torch.nn.Module):
    """`torch.nn.Transformer` with shared embeddings, stored positions and a head with a bias."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(VOCABULARY, WIDTH)
        self.positions = torch.nn.Parameter(torch.zeros(64, WIDTH))
        self.transformer = torch.nn.Transformer(WIDTH, 2, 2, 2, 48, batch_first=True)
        self.head = torch.nn.Linear(WIDTH, VOCABULARY)

    def forward(self, source, tokens):
        embedded = [self.embed(text) * math.sqrt(WIDTH) + self.positions[: text.shape[1]] for text in (source, tokens)]
        mask = torch.nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        return self.head(self.transformer(*embedded, tgt_mask=mask))


def transformers_case(case):
    name, settings = CASES[case]
    config = getattr(transformers, f"{name}Config")(**settings, attn_implementation="eager")
    class_name = "MarianMTModel" if name == "Marian" else f"{name}ForConditionalGeneration"
    model = getattr(transformers, class_name)(config).float().eval()
    randomize(model, seed=101 + list(CASES).index(case))
    for part in model.modules():
        if hasattr(part, "create_weight"):
            # Marian's positions are computed, and not in its files.
            part.weight.data = part.create_weight()
    state = model.state_dict()
    for key in state:
        # T5 divides no scores, so training makes queries small; large scores would show the rounding of f32 alone.
        if key.endswith("Attention.q.weight"):
            state[key].mul_(0.25)
    if "final_logits_bias" in state:
        state["final_logits_bias"].copy_(torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(5)).half())
    written = {key: value for key, value in config.to_dict().items() if key not in LEFT_OUT}
    written.update({key: value for key, value in settings.items() if key == "tie_word_embeddings"})
    tied = settings.get("tie_word_embeddings", True)
    spare = [".embed_tokens.weight"] + (["lm_head.weight"] if tied else [])
    if name == "Marian":
        spare.append(".embed_positions.weight")
    weights = {key: value for key, value in state.items() if not any(key.endswith(end) for end in spare)}
    run = lambda source, tokens: model(input_ids=source, decoder_input_ids=tokens).logits
    return written, weights, run


def torch_case():
    model = Torch().eval()
    randomize(model, seed=151)
    state = model.state_dict()
    names = dict(embedding="embed.weight", positions="positions", transformer="transformer", head="head")
    config = config_of(state, names, heads=2, start=1, end=2)
    return config, renamed(state, names), model


def write(case):
    config, weights, run = torch_case() if CASES[case] is None else transformers_case(case)
    folder = PLACE / case
    folder.mkdir(parents=True, exist_ok=True)
    source, tokens = ids(SOURCE, 7), [config["decoder_start_token_id"]] + ids(TOKENS - 1, 5)
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    (folder / "source_ids.json").write_text(json.dumps(source) + "\n")
    (folder / "token_ids.json").write_text(json.dumps(tokens) + "\n")
    save_file({key: value.half().contiguous() for key, value in weights.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    with torch.no_grad():
        logits = run(torch.tensor([source]), torch.tensor([tokens]))[0].float().numpy()
    (folder / "logits.f32").write_bytes(logits.astype("<f4").tobytes())
    print(f"{case}: logits from {logits.min():.2f} to {logits.max():.2f}")


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        write(case)
