"""PyTorch's `torch.nn.Transformer`, norms behind and final norms on either side, as a folder that `veridraft export` reads.

The configuration has `model_type` `nn_transformer` and BART's fields; tensors have BART's names, the embedding that both
sides share, positions and a head with a bias among them.
"""

import torch

LAYER = {"linear1": "fc1", "linear2": "fc2"}
ENCODER = dict(LAYER, norm1="self_attn_layer_norm", norm2="final_layer_norm")
DECODER = dict(LAYER, norm1="self_attn_layer_norm", norm2="encoder_attn_layer_norm", norm3="final_layer_norm")


def count(state, prefix):
    """Layers whose tensors have names behind this prefix."""
    return 1 + max(int(name[len(prefix):].split(".")[0]) for name in state if name.startswith(prefix))


def config_of(state, names, heads, start, end):
    """What `config.json` says; `names` are those of the embedding, the positions, the transformer and the head."""
    of = lambda side: f"{names['transformer']}.{side}.layers."
    wide = lambda side: state[f"{of(side)}0.linear1.weight"].shape[0]
    vocabulary, width = state[names["embedding"]].shape
    positions = state[names["positions"]].reshape(-1, width).shape[0]
    return dict(
        model_type="nn_transformer", architectures=["Transformer"], is_encoder_decoder=True, vocab_size=vocabulary,
        d_model=width, encoder_layers=count(state, of("encoder")), decoder_layers=count(state, of("decoder")),
        encoder_attention_heads=heads, decoder_attention_heads=heads, encoder_ffn_dim=wide("encoder"),
        decoder_ffn_dim=wide("decoder"), max_position_embeddings=positions, activation_function="relu",
        scale_embedding=True, add_final_layer_norm=True, tie_word_embeddings=False, layer_norm_eps=1e-5,
        decoder_start_token_id=start, eos_token_id=end,
    )


def renamed(state, names):
    """The tensors under the names that the export knows."""
    found = {}
    positions = state[names["positions"]]
    positions = positions.reshape(-1, positions.shape[-1])
    for side, layer_names in [("encoder", ENCODER), ("decoder", DECODER)]:
        before, after = f"{names['transformer']}.{side}.", f"model.{side}."
        found[f"{after}embed_positions.weight"] = positions
        for part in ["weight", "bias"]:
            found[f"{after}layer_norm.{part}"] = state[f"{before}norm.{part}"]
        for layer in range(count(state, f"{before}layers.")):
            found.update(renamed_layer(state, f"{before}layers.{layer}.", f"{after}layers.{layer}.", layer_names))
    found["model.shared.weight"] = state[names["embedding"]]
    for part in ["weight", "bias"]:
        found[f"lm_head.{part}"] = state[f"{names['head']}.{part}"]
    return {name: value.clone() for name, value in found.items()}


def renamed_layer(state, before, after, layer_names):
    found = {}
    for name, value in state.items():
        if not name.startswith(before):
            continue
        module, part = name[len(before):].rsplit(".", 1)
        attention = {"self_attn": "self_attn", "multihead_attn": "encoder_attn"}.get(module.split(".")[0])
        if attention is None:
            found[f"{after}{layer_names[module]}.{part}"] = value
        elif module.endswith("out_proj"):
            found[f"{after}{attention}.out_proj.{part}"] = value
        else:
            kind = part.removeprefix("in_proj_")
            for projection, rows in zip("qkv", torch.chunk(value, 3)):
                found[f"{after}{attention}.{projection}_proj.{kind}"] = rows
    return found
