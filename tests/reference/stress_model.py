"""Writes ruaccent-predictor, a character-level model of Russian stress, as a folder that `veridraft export` reads.

    pip install torch==2.15.0 safetensors==0.8.0 ruaccent-predictor==1.2.0
    python3 stress_model.py FOLDER            # the folder
    python3 stress_model.py FOLDER --expect   # and what the package answers, into stress_model.json here

The package (MIT) reads texts of up to 254 characters between a start and an end, filled up to 256 with padding that its
encoder attends to; so the folder's configuration asks for that. Its decoder is greedy.
"""

import json
import sys
from pathlib import Path

import ruaccent
import torch
from safetensors.torch import save_file
from torch_transformer import config_of, renamed

PACKAGE = Path(ruaccent.__file__).parent
LENGTH, HEADS = 256, 8
NAMES = dict(embedding="embed.char_embed.weight", positions="embed.pos_encoding", transformer="transformer",
             head="output_proj")
SPECIAL = ["<pad>", "<s>", "</s>"]

SENTENCES = [
    "Мама мыла раму, а папа читал газету.",
    "В лесу родилась ёлочка, в лесу она росла.",
    "Хотел я зайти в замок, но ключ не подошёл к замку.",
    "Сегодня утром шёл снег.",
    "На берегу реки стоит старый дом с зелёной крышей.",
    "Дорога была длинной, и путники устали.",
    "Она поставила чашку на стол и посмотрела в окно.",
    "Учитель объяснил правило ещё раз.",
    "Поезд отправляется в половине восьмого.",
    "Кот спит на диване целый день.",
    "Зимой ночи длиннее, чем летом.",
    "Мы купили хлеб, молоко и яблоки.",
    "Вечером город зажигает огни.",
    "Птицы улетают на юг, когда становится холодно.",
    "Каждый художник видит мир по-своему.",
    "Старая мельница давно не работает.",
    "Где ты был вчера после обеда?",
    "Книга лежит на верхней полке!",
    "Дети играют во дворе, пока не стемнеет; потом их зовут ужинать.",
    "Врач посоветовал больше гулять и меньше волноваться, и он последовал этому совету.",
]


def tokenizer(vocabulary):
    added = [dict(id=vocabulary[token], content=token, single_word=False, lstrip=False, rstrip=False,
                  normalized=False, special=True) for token in SPECIAL]
    part = lambda token: {"SpecialToken": {"id": token, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    ends = {token: {"id": token, "ids": [vocabulary[token]], "tokens": [token]} for token in ["<s>", "</s>"]}
    return dict(
        version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=None,
        pre_tokenizer=dict(type="Split", pattern={"Regex": "[\\s\\S]"}, behavior="Isolated", invert=False),
        post_processor=dict(type="TemplateProcessing", single=[part("<s>"), text, part("</s>")],
                            pair=[part("<s>"), text, part("</s>")], special_tokens=ends),
        decoder=dict(type="Fuse"), model=dict(type="WordLevel", vocab=vocabulary, unk_token="<unk>"),
    )


def write(folder):
    state = torch.load(PACKAGE / "model/acc_model.pt", map_location="cpu", weights_only=True)
    vocabulary = json.loads((PACKAGE / "model/vocab.json").read_text(encoding="utf-8"))
    config = config_of(state, NAMES, HEADS, start=vocabulary["<s>"], end=vocabulary["</s>"])
    config.update(pad_source_to=LENGTH, pad_token_id=vocabulary["<pad>"])
    folder.mkdir(parents=True, exist_ok=True)
    save_file(renamed(state, NAMES), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    for name, content in [("config", config), ("tokenizer", tokenizer(vocabulary)),
                          ("tokenizer_config", dict(eos_token="</s>"))]:
        (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def expect():
    accentor = ruaccent.load_accentor(device="cpu")
    answers = [dict(text=text, answer=accentor(text)) for text in SENTENCES]
    place = Path(__file__).parent / "stress_model.json"
    place.write_text(json.dumps(answers, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    if "--expect" in sys.argv:
        expect()
