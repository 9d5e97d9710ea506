"""Build a stand-in for a Phi model: Phi-3's architecture, tiny random weights, the model's own chat template.

It is for the contract (folders, tags, templates, training, serving) and for tests, never for the answers: the
weights are drawn from a seed and the tokenizer is trained on `tokenizer_text.txt`, beside this file.
"""

import argparse
from pathlib import Path

import torch
from mlflow_layout import model_folder, write_mlmodel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

_VOCABULARY_SIZE = 1024  # at most: the text is short
_MAX_POSITIONS = 4096

_UNKNOWN, _BEGIN, _END_OF_TEXT = "<unk>", "<s>", "<|endoftext|>"
# Each template as its model publishes it: microsoft/Phi-3-mini-4k-instruct and microsoft/phi-4.
_TEMPLATES = {
    "phi-3": (
        "{% for message in messages %}"
        "{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
    ),
    "phi-4": (
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + '<|im_end|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"
    ),
}
_MARKS = {
    "phi-3": ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"],
    "phi-4": ["<|im_end|>", "<|im_start|>", "<|im_sep|>"],
}
_HUGGINGFACE_IDS = {"phi-3": "microsoft/Phi-3-mini-4k-instruct", "phi-4": "microsoft/phi-4"}


def _tokenizer(template: str) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY_SIZE,
        special_tokens=[_UNKNOWN, _BEGIN, _END_OF_TEXT, *_MARKS[template]],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    text = Path(__file__).with_name("tokenizer_text.txt").read_text(encoding="utf-8")
    bpe.train_from_iterator(text.splitlines(keepends=True), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        unk_token=_UNKNOWN,
        bos_token=_BEGIN,
        eos_token=_END_OF_TEXT,
        pad_token=_END_OF_TEXT,
        extra_special_tokens=_MARKS[template],
        model_max_length=_MAX_POSITIONS,
        padding_side="right",
    )
    tokenizer.chat_template = _TEMPLATES[template]
    return tokenizer


def build(output: Path, template: str, seed: int) -> None:
    """Write the MLflow model folder."""
    logging.disable_progress_bar()
    tokenizer = _tokenizer(template)
    torch.manual_seed(seed)
    stops = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(_MARKS[template][0])]
    config = Phi3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=_MAX_POSITIONS,
        original_max_position_embeddings=_MAX_POSITIONS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=stops,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    target = model_folder(output)
    Phi3ForCausalLM(config).save_pretrained(target)
    tokenizer.save_pretrained(target)
    huggingface_id = _HUGGINGFACE_IDS[template]
    write_mlmodel(output, huggingface_id=huggingface_id, model_uuid=f"{seed:032x}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--chat_template", choices=sorted(_TEMPLATES), required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    build(arguments.output, arguments.chat_template, arguments.seed)
