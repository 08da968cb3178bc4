"""What in a text speaks for a label, by the RNN: the gated evidence of each token, and of each pair of neighbours.

The logits of a window are a sum of two terms (network.py): label evidence times its gate, which is divided among the
tokens, and a linear layer on pooled states and inputs, which depends on all of them together and is not divided. The
member's log-odds are the mean over windows and networks, so the two terms add up to them. A gate depends on the state,
and so on the neighbours: an amount says what the evidence adds where it stands, not what the text would get without the
word.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tasks.shared.member import Occurrence, lower_with_positions
from tasks.shared.statistics.metrics import Floats
from tasks.training.cells.cells import token_mask
from tasks.training.input.evidence import Tables
from tasks.training.input.vocabulary import locate_words, split_words
from tasks.training.input.windows import Windows, bounded_batches, collate
from tasks.training.models.network import Network


def gated_amounts(
    networks: Sequence[Network], windows: Windows, tables: Tables, label: int, other: int, device: torch.device
) -> tuple[Floats, Floats, float]:
    """What the evidence of each token of one text, and that of its pair, adds to the log-odds, [tokens read] each.

    Also the log-odds themselves. The networks must be in evaluation mode.
    """
    lengths = windows.lengths
    starts = np.cumsum(lengths) - lengths
    amounts, log_odds = np.zeros((2, int(lengths.sum()))), 0.0
    with torch.inference_mode():
        for positions in bounded_batches(lengths):
            batch = collate(windows, positions, tables, np.zeros(len(positions), np.int64)).to(device)
            for network in networks:
                logits = network(batch).double()
                log_odds += float((logits[:, label] - logits[:, other]).sum())
                inputs = network.inputs(batch)
                mask = token_mask(len(inputs), batch.lengths, inputs.device).unsqueeze(2)
                gated = network.gated_evidence(inputs, network.states(inputs, batch.lengths), mask)
                found = torch.stack([some[..., label] - some[..., other] for some in gated]).double().cpu().numpy()
                for column, window in enumerate(positions.tolist()):
                    amounts[:, starts[window] : starts[window] + lengths[window]] += found[:, : lengths[window], column]
    answers = len(windows) * len(networks)
    return amounts[0] / answers, amounts[1] / answers, log_odds / answers


def locate(text: str, of_token: Floats, of_pair: Floats) -> list[Occurrence]:
    """The occurrences of a text's words and pairs, from the amounts of its tokens and of the pairs that end there."""
    lowered, positions = lower_with_positions(text)
    words, spans = split_words(text), [(positions[a], positions[b - 1] + 1) for a, b in locate_words(lowered)]
    found = [
        Occurrence(start, end, word, amount)
        for word, (start, end), amount in zip(words, spans, of_token.tolist(), strict=False)  # the first tokens alone
    ]
    pairs = zip(of_pair.tolist()[1:], range(1, len(spans)), strict=False)
    found += [
        Occurrence(spans[at - 1][0], spans[at][1], f"{words[at - 1]} {words[at]}", amount)
        for amount, at in pairs
        if amount
    ]
    return found
