"""Makes tiny checkpoints of every architecture, and the logits that transformers gives for them.

    pip install torch==2.15.0 transformers==5.24.0 safetensors==0.8.0 gguf==0.19.0
    python3 architectures.py            # all of them
    python3 architectures.py qwen3      # one

For each case a folder in `architectures/`:

config.json, model.safetensors   a random checkpoint of two layers, as transformers writes it; weights are f16
model.gguf                       the same model as llama.cpp's converters write it, where they know it
token_ids.json, logits.f32       a text longer than every sliding window, and its logits, [tokens, vocabulary], in f32
hidden_states.f32                for some: what goes into the first layer and comes out of each, [3, tokens, hidden]

Weights come from fixed seeds and are f16, so that the files are small and f32 holds them exactly.
"""

import json
import math
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import save_file

PLACE = Path(__file__).parent / "architectures"
VOCABULARY, TOKENS, WINDOW = 64, 40, 12

# Sizes under the names that most configuration classes have.
SIZES = dict(
    vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, max_position_embeddings=128, bos_token_id=0, eos_token_id=1, pad_token_id=None,
)
ONE_KIND_OF_HEADS = {name: size for name, size in SIZES.items() if name != "num_key_value_heads"}
SHORT_FACTORS = [1.0 + 0.25 * index for index in range(6)]
LONG_FACTORS = [2.0 + 0.5 * index for index in range(6)]
LLAMA_3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
               original_max_position_embeddings=32)

WITH_HIDDEN_STATES = ["llama3", "gemma3", "gpt2"]

# Settings of this run, not of the model.
LEFT_OUT = ["transformers_version", "_name_or_path", "_attn_implementation", "dtype"]

# By case: the name of the configuration class, and what it is given.
CASES = {
    "llama3": ("Llama", dict(SIZES, head_dim=16, rope_parameters=LLAMA_3)),
    "mistral": ("Mistral", dict(SIZES, head_dim=32, sliding_window=WINDOW)),
    "qwen2_windows": ("Qwen2", dict(SIZES, tie_word_embeddings=True, use_sliding_window=True, sliding_window=WINDOW,
                                    max_window_layers=1)),
    "qwen3": ("Qwen3", dict(SIZES, head_dim=32, tie_word_embeddings=True, rms_norm_eps=1e-5)),
    "gemma3": ("Gemma3Text", dict(
        SIZES, head_dim=32, query_pre_attn_scalar=20, sliding_window=WINDOW,
        layer_types=["sliding_attention", "full_attention"],
        rope_parameters={
            "full_attention": dict(rope_type="linear", rope_theta=1000000.0, factor=8.0),
            "sliding_attention": dict(rope_type="default", rope_theta=10000.0),
        },
    )),
    "phi3": ("Phi3", dict(
        SIZES, sliding_window=WINDOW, original_max_position_embeddings=64, tie_word_embeddings=False,
        rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75,
                             short_factor=SHORT_FACTORS, long_factor=LONG_FACTORS),
    )),
    "gpt2": ("GPT2", dict(vocab_size=VOCABULARY, n_positions=128, n_embd=32, n_layer=2, n_head=2, n_inner=80,
                          bos_token_id=0, eos_token_id=1)),
    "gpt_neox": ("GPTNeoX", dict(ONE_KIND_OF_HEADS, rope_parameters=dict(rope_type="default", rope_theta=10000.0,
                                                                         partial_rotary_factor=0.25))),
    "gpt_neox_serial": ("GPTNeoX", dict(ONE_KIND_OF_HEADS, use_parallel_residual=False,
                                        rope_parameters=dict(rope_type="default", rope_theta=10000.0,
                                                             partial_rotary_factor=1.0))),
    "olmo": ("Olmo", dict(SIZES, clip_qkv=1.0)),
    "olmo2": ("Olmo2", dict(SIZES)),
    "qwen2": ("Qwen2", dict(SIZES)),
    "gemma2": ("Gemma2", dict(SIZES, head_dim=32, query_pre_attn_scalar=20, sliding_window=WINDOW,
                              attn_logit_softcapping=2.0, final_logit_softcapping=5.0)),
}


def randomize(model, seed):
    """Weights that keep numbers near 1: matrices by their inputs, norms around what leaves numbers as they are."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in sorted(model.named_parameters()):
        noise = torch.randn(weight.shape, generator=generator)
        if weight.dim() == 2:
            is_embedding = any(part in name for part in ["embed", "wte", "wpe"])
            value = noise * (0.5 if is_embedding else 1.5 / math.sqrt(weight.shape[1]))
        elif name.endswith("bias"):
            value = noise * 0.2
        else:
            value = weight.data.float().mean().round() + noise * 0.2
        weight.data = value.half().float()


def build(case):
    class_name, settings = CASES[case]
    config = getattr(transformers, f"{class_name}Config")(**settings, attn_implementation="eager")
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    randomize(model, seed=1 + list(CASES).index(case))
    return model


def tokens():
    return [(7 * index + index * index * 3) % VOCABULARY for index in range(TOKENS)]


def write(case):
    model, folder = build(case), PLACE / case
    folder.mkdir(parents=True, exist_ok=True)
    config = {name: value for name, value in model.config.to_dict().items() if name not in LEFT_OUT}
    config["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    tied = model.config.tie_word_embeddings
    weights = {name: weight.half().contiguous() for name, weight in model.state_dict().items()
               if not (tied and name == "lm_head.weight") and weight.dtype == torch.float32}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    with torch.no_grad():
        states = between_layers(model)
        logits = model(torch.tensor([tokens()])).logits[0].float().numpy()
    if case in WITH_HIDDEN_STATES:
        (folder / "hidden_states.f32").write_bytes(np.stack(states).astype("<f4").tobytes())
    (folder / "token_ids.json").write_text(json.dumps(tokens()) + "\n")
    (folder / "logits.f32").write_bytes(logits.astype("<f4").tobytes())
    if case in GGUF:
        write_gguf(case, model, folder / "model.gguf")
    print(f"{case}: logits from {logits.min():.2f} to {logits.max():.2f}")


def between_layers(model):
    """A list that the next run fills with what goes into the first layer and comes out of each."""
    states, layers = [], next(part for part in model.modules() if isinstance(part, torch.nn.ModuleList))
    keep = lambda value: states.append((value[0] if isinstance(value, tuple) else value)[0].numpy().copy())
    layers[0].register_forward_pre_hook(lambda _, inputs, named: keep(inputs or named["hidden_states"]),
                                        with_kwargs=True)
    for layer in layers:
        layer.register_forward_hook(lambda _, inputs, output: keep(output))
    return states


def pairs_interleaved(weight, heads):
    """The row order of q and k where neighbours are turned by the rotary angle, not values half a head apart."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))


def by_kind(weight, heads):
    """Rows of a fused projection that come head by head, as all of q, all of k, all of v."""
    parts = weight.reshape(heads, 3, weight.shape[0] // heads // 3, *weight.shape[1:])
    return np.ascontiguousarray(parts.swapaxes(0, 1).reshape(weight.shape))


LLAMA_LAYER = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up",
}
LLAMA_MODEL = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
POST_NORMS = dict(LLAMA_LAYER, post_attention_layernorm="post_attention_norm", pre_feedforward_layernorm="ffn_norm",
                  post_feedforward_layernorm="post_ffw_norm")
GPT2_LAYER = {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm",
              "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
GPT2_MODEL = {"transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm"}
NEOX_LAYER = {"input_layernorm": "attn_norm", "attention.query_key_value": "attn_qkv",
              "attention.dense": "attn_output", "post_attention_layernorm": "ffn_norm",
              "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down"}
NEOX_MODEL = {"gpt_neox.embed_in": "token_embd", "gpt_neox.final_layer_norm": "output_norm", "embed_out": "output",
              "lm_head": "output"}

# By case: the architecture's name in the file, and the names of tensors behind each layer and outside.
GGUF = {
    "llama3": ("llama", LLAMA_LAYER, LLAMA_MODEL),
    "mistral": ("llama", LLAMA_LAYER, LLAMA_MODEL),
    "qwen2": ("qwen2", LLAMA_LAYER, LLAMA_MODEL),
    "qwen3": ("qwen3", LLAMA_LAYER, LLAMA_MODEL),
    "gemma2": ("gemma2", POST_NORMS, LLAMA_MODEL),
    "gemma3": ("gemma3", POST_NORMS, LLAMA_MODEL),
    "phi3": ("phi3", LLAMA_LAYER, LLAMA_MODEL),
    "gpt2": ("gpt2", GPT2_LAYER, GPT2_MODEL),
    "gpt_neox": ("gptneox", NEOX_LAYER, NEOX_MODEL),
    "olmo": ("olmo", LLAMA_LAYER, LLAMA_MODEL),
    "olmo2": ("olmo2", POST_NORMS, LLAMA_MODEL),
}


def name_in_gguf(name, layer_names, model_names):
    stem, suffix = name.rsplit(".", 1)
    if stem in model_names:
        return f"{model_names[stem]}.{suffix}"
    _, behind = stem.split(".h." if ".h." in stem else ".layers.")
    layer, part = behind.split(".", 1)
    return f"blk.{layer}.{layer_names[part]}.{suffix}"


def converted(architecture, name, weight, config):
    """What the converters do to a tensor beside renaming it."""
    if architecture in ["llama", "olmo"] and name.endswith(("q_proj.weight", "k_proj.weight")):
        is_query = "q_proj" in name
        return pairs_interleaved(weight, config.num_attention_heads if is_query else config.num_key_value_heads)
    if architecture == "gpt2" and weight.ndim == 2 and "transformer.h." in name:
        return np.ascontiguousarray(weight.T)
    if architecture == "gptneox" and "query_key_value" in name:
        return by_kind(weight, config.num_attention_heads)
    # The file has no place for the scale of scores, which readers take from the head's size: what differs goes into q.
    scale = math.sqrt(config.head_dim / config.query_pre_attn_scalar) if architecture in ["gemma2", "gemma3"] else None
    if name.endswith("q_norm.weight") and scale:
        return (weight + 1) * scale
    if name.endswith("q_proj.weight") and architecture == "gemma2":
        return weight * scale
    if name.endswith("norm.weight") and scale:
        return weight + 1
    return weight


def write_gguf(case, model, path):
    architecture, layer_names, model_names = GGUF[case]
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    add_sizes(writer, config)
    extra_tensors = add_extras(writer, case, config)
    add_tokenizer(writer)
    for name, weight in model.state_dict().items():
        if config.tie_word_embeddings and name == "lm_head.weight":
            continue
        if weight.dtype != torch.float32 or "rotary_emb" in name:
            continue
        weight = converted(architecture, name, weight.numpy(), config)
        is_exact = weight.ndim == 2 and not (architecture == "gemma2" and name.endswith("q_proj.weight"))
        kind = np.float16 if is_exact else np.float32
        writer.add_tensor(name_in_gguf(name, layer_names, model_names), weight.astype(kind))
    for name, values in extra_tensors.items():
        writer.add_tensor(name, np.array(values, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_sizes(writer, config):
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", None) or config.n_inner)
    writer.add_head_count(config.num_attention_heads)
    if getattr(config, "num_key_value_heads", None):
        writer.add_head_count_kv(config.num_key_value_heads)
    if getattr(config, "head_dim", None):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if hasattr(config, "rms_norm_eps"):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(getattr(config, "layer_norm_epsilon", getattr(config, "layer_norm_eps", 1e-5)))


def add_extras(writer, case, config):
    """The keys that an architecture has beside sizes; the tensors beside weights."""
    if case in ["mistral", "gemma2", "gemma3", "phi3"]:
        writer.add_sliding_window(config.sliding_window)
    if case not in ["gpt2", "gemma3"]:
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if case == "llama3":
        return {"rope_freqs.weight": llama3_factors(config)}
    if case == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if case == "gemma3":
        writer.add_rope_freq_base(1000000.0)
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(8.0)
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config.layer_types])
    if case == "phi3":
        writer.add_rope_dimension_count(12)
        original, whole = config.original_max_position_embeddings, config.max_position_embeddings
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(whole / original) / math.log(original)))
        return {"rope_factors_short.weight": SHORT_FACTORS, "rope_factors_long.weight": LONG_FACTORS}
    if case == "olmo":
        writer.add_clamp_kqv(config.clip_qkv)
    if case == "gpt_neox":
        writer.add_rope_dimension_count(4)
        writer.add_parallel_residual(config.use_parallel_residual)
    return {}


def llama3_factors(config):
    """What the frequencies are divided by."""
    plain = 1.0 / 10000.0 ** (np.arange(0, config.head_dim, 2) / config.head_dim)
    rotary = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS["llama3"](config, None)[0].numpy()
    return plain / rotary


def add_tokenizer(writer):
    """Byte-level BPE of letters; no text is encoded with it."""
    letters = [chr(code) for code in range(ord("!"), ord("~")) if chr(code) != "\\"]
    listed = ["<s>", "</s>", "AB"] + letters[:VOCABULARY - 3]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(listed)
    writer.add_token_types([3, 3] + [1] * (VOCABULARY - 2))
    writer.add_token_merges(["A B"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        write(case)
