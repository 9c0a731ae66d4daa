"""Writes the graphs of `tests/fixtures/dense`: one small random decoder, as other programs would lay it out.

    pip install onnx numpy && python3 tests/reference/dense_graphs.py tests/fixtures/dense

Two layers of attention over 2 heads of 8 numbers, a context of 64 and 48 tokens; the same weights in every file:

    concatenated.onnx  keys and values go in and come out longer, as optimum writes them
    half.onnx          the same, with keys, values and logits in float16
    merged.onnx        a branch for the first tokens and one for those behind a cache; the latter has no mask between
                       new rows, as exports traced with one row have none
    kept.onnx          the first with an input for how many rows, from the last on, are scored
    in_place.onnx      com.microsoft.GroupQueryAttention, as onnxruntime-genai's builder writes it
"""
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS, HEADS, DIM, CONTEXT, VOCABULARY = 2, 2, 8, 64, 48
HIDDEN = HEADS * DIM


def weights():
    """The one set of weights, from a fixed seed."""
    random = np.random.default_rng(20)
    matrix = lambda rows, columns, scale: random.uniform(-scale, scale, (rows, columns)).astype(np.float32)
    named = {"tokens": matrix(VOCABULARY, HIDDEN, 1.5), "positions": matrix(CONTEXT, HIDDEN, 0.7)}
    for layer in range(LAYERS):
        for part in ["q", "k", "v", "o"]:
            named[f"{part}{layer}"] = matrix(HIDDEN, HIDDEN, 0.6)
    named["head"] = matrix(HIDDEN, VOCABULARY, 1.0)
    return named


class Graph:
    """Nodes and initialisers of a graph, or of a branch of one."""

    def __init__(self, prefix=""):
        self.prefix, self.nodes, self.initialisers, self.count = prefix, [], [], 0

    def node(self, operator, inputs, outputs=None, **attributes):
        self.count += 1
        outputs = outputs or [f"{self.prefix}{operator}_{self.count}"]
        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0]

    def constant(self, value):
        self.count += 1
        name = f"{self.prefix}constant_{self.count}"
        self.initialisers.append(numpy_helper.from_array(np.array(value), name))
        return name


def kv_names(pattern):
    return [pattern % (layer, part) for layer in range(LAYERS) for part in ["key", "value"]]


PAST, PRESENT = kv_names("past_key_values.%d.%s"), kv_names("present.%d.%s")


def decoder(graph, float_type=TensorProto.FLOAT, cached=True, masked=True, in_place=False, prefix="", kept_rows=False):
    """The layers; returns the names of logits and of keys and values."""
    half = float_type == TensorProto.FLOAT16
    embedded = graph.node("Gather", ["tokens", "input_ids"])
    hidden = graph.node("Add", [embedded, graph.node("Gather", ["positions", "position_ids"])])
    total = graph.node("Gather", [graph.node("Shape", ["attention_mask"]), graph.constant(np.int64(1))])
    split = graph.constant(np.array([0, 0, HEADS, DIM], np.int64))
    joined = graph.constant(np.array([0, 0, HIDDEN], np.int64))
    scale = graph.constant(np.float32(DIM**-0.5))
    if in_place:
        visible = graph.node("ReduceSum", ["attention_mask", graph.constant(np.array([1], np.int64))], keepdims=0)
        last = graph.node("Sub", [visible, graph.constant(np.array([1], np.int64))])
        lengths = graph.node("Cast", [last], to=TensorProto.INT32)
        total32 = graph.node("Cast", [total], to=TensorProto.INT32)
    elif masked:
        columns = graph.node("Range", [graph.constant(np.int64(0)), total, graph.constant(np.int64(1))])
        rows = graph.node("Unsqueeze", ["position_ids", graph.constant(np.array([1, 3], np.int64))])
        mask = graph.node("LessOrEqual", [columns, rows])
    kept = []
    for layer in range(LAYERS):
        q, k, v = (graph.node("MatMul", [hidden, f"{part}{layer}"]) for part in "qkv")
        past = [f"past_key_values.{layer}.{part}" for part in ["key", "value"]]
        present = [f"{prefix}present.{layer}.{part}" for part in ["key", "value"]]
        kept += present
        if in_place:
            attended = f"attended_{layer}"
            graph.node(
                "GroupQueryAttention",
                [q, k, v, *past, lengths, total32],
                [attended, *present],
                domain="com.microsoft",
                num_heads=HEADS,
                kv_num_heads=HEADS,
            )
        else:
            heads = lambda flat: graph.node("Transpose", [graph.node("Reshape", [flat, split])], perm=[0, 2, 1, 3])
            q, k, v = heads(q), heads(k), heads(v)
            if half:
                k, v = (graph.node("Cast", [new], to=TensorProto.FLOAT16) for new in [k, v])
            for new, old, out in zip([k, v], past, present):
                graph.node("Concat", [old, new] if cached else [new], [out], axis=2)
            k, v = present
            if half:
                k, v = (graph.node("Cast", [one], to=TensorProto.FLOAT) for one in [k, v])
            scores = graph.node("MatMul", [q, graph.node("Transpose", [k], perm=[0, 1, 3, 2])])
            scores = graph.node("Mul", [scores, scale])
            if masked:
                scores = graph.node("Where", [mask, scores, graph.constant(np.float32(-1e9))])
            mixed = graph.node("MatMul", [graph.node("Softmax", [scores], axis=-1), v])
            attended = graph.node("Reshape", [graph.node("Transpose", [mixed], perm=[0, 2, 1, 3]), joined])
        update = graph.node("Tanh", [graph.node("MatMul", [attended, f"o{layer}"])])
        hidden = graph.node("Add", [hidden, update])
    if kept_rows:
        count = graph.node("Unsqueeze", ["num_logits_to_keep", graph.constant(np.array([0], np.int64))])
        end, axis = graph.constant(np.array([2**62], np.int64)), graph.constant(np.array([1], np.int64))
        hidden = graph.node("Slice", [hidden, graph.node("Neg", [count]), end, axis])
    logits = graph.node("MatMul", [hidden, "head"], None if half else [f"{prefix}logits"])
    if half:
        logits = graph.node("Cast", [logits], [f"{prefix}logits"], to=TensorProto.FLOAT16)
    return [logits, *kept]


def values(float_type=TensorProto.FLOAT, prefix=""):
    info = helper.make_tensor_value_info
    kv = lambda name, length: info(name, float_type, ["batch", HEADS, length, DIM])
    inputs = [
        info("input_ids", TensorProto.INT64, ["batch", "rows"]),
        info("attention_mask", TensorProto.INT64, ["batch", "total"]),
        info("position_ids", TensorProto.INT64, ["batch", "rows"]),
        *(kv(name, "past") for name in PAST),
    ]
    logits = info(f"{prefix}logits", float_type, ["batch", "rows", VOCABULARY])
    return inputs, [logits, *(kv(prefix + name, "total") for name in PRESENT)]


def write(path, graph, inputs, outputs):
    stored = [numpy_helper.from_array(value, name) for name, value in weights().items()]
    proto = helper.make_graph(graph.nodes, "dense", inputs, outputs, stored + graph.initialisers)
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(proto, opset_imports=domains, ir_version=8, producer_name="dense_graphs.py")
    path.write_bytes(model.SerializeToString(deterministic=True))
    print(path.name, path.stat().st_size)


def single(path, **options):
    graph = Graph()
    decoder(graph, **options)
    inputs, outputs = values(options.get("float_type", TensorProto.FLOAT))
    if options.get("kept_rows"):
        inputs.append(helper.make_tensor_value_info("num_logits_to_keep", TensorProto.INT64, []))
        outputs[0] = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "kept", VOCABULARY])
    write(path, graph, inputs, outputs)


def merged(path):
    graph, branches = Graph(), {}
    for name, options in {"first": dict(cached=False), "behind": dict(masked=False)}.items():
        branch = Graph(f"{name}_")
        decoder(branch, prefix=f"{name}_", **options)
        _, outputs = values(prefix=f"{name}_")
        branches[name] = helper.make_graph(branch.nodes, name, [], outputs, branch.initialisers)
    graph.node(
        "If",
        ["use_cache_branch"],
        ["logits", *PRESENT],
        then_branch=branches["behind"],
        else_branch=branches["first"],
    )
    inputs, outputs = values()
    inputs.append(helper.make_tensor_value_info("use_cache_branch", TensorProto.BOOL, [1]))
    write(path, graph, inputs, outputs)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    single(folder / "concatenated.onnx")
    single(folder / "half.onnx", float_type=TensorProto.FLOAT16)
    merged(folder / "merged.onnx")
    single(folder / "kept.onnx", kept_rows=True)
    single(folder / "in_place.onnx", in_place=True)
