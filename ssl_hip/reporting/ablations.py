"""Tables 2 and 3 of the paper: embedding matching with some of its settings changed (variants)."""

from collections.abc import Collection

import pandas as pd

from ssl_hip.reporting import paper, significance, tables

BASE = "embedding_matching"
TERMS = {"weight_ua": "L_UA", "weight_nn": "L_NN", "weight_en": "L_EN"}
SIMILARITY = ["kernel", "reduce"]
TESTS = ["iou_p_patch", "iou_p_scan", "hd95_p_patch", "hd95_p_scan"]


def grid(ablations) -> list[tuple[str, str, int]]:
    """Return (variant, labelled_patches, draw) of every run that section `ablations` of params.yaml asks for."""
    return [(v, str(n), d) for v in ablations.variants for n in ablations.labelled_patches for d in ablations.draws]


def compared(train, ablations) -> list[tuple[str, str, int]]:
    """Return the runs of Tables 2 and 3: the variants', and the base's at the same subsets and draws.

    The base is trained for Table 1, or not at all.
    """
    beside = {(str(n), d) for n in ablations.labelled_patches for d in ablations.draws}
    return [run for run in tables.grid(train) if run[0] == BASE and run[1:] in beside] + grid(ablations)


def settings(base, variants, names: list[str]) -> dict[str, dict]:
    """Return all settings of the base and of the named variants, by name.

    base, variants: methods.embedding_matching and section `variants` of params.yaml.
    """
    return {BASE: vars(base)} | {name: vars(base) | vars(getattr(variants, name)) for name in names}


def within(settings: dict[str, dict], keys: Collection[str]) -> list[str]:
    """Return the base's name and those of the variants that differ from it in nothing but some of the keys."""
    kept = {key: value for key, value in settings[BASE].items() if key not in keys}
    return [name for name, each in settings.items() if {key: each[key] for key in kept} == kept]


def table(runs: tables.Runs, settings: dict[str, dict], keys: Collection[str]) -> pd.DataFrame:
    """Return the base and the variants that differ from it only in some of the keys, a row each and labelled subset.

    runs: of `compared`. Columns: the keys (settings in effect), variant, those of tables.summary from labelled_patches
    on, best_iou, best_hd95 ("*"), and TESTS: p over patches and scans against the base, corrected after Holm within the
    table and labelled subset; empty in the base's row.
    """
    names = within(settings, keys)
    rows = tables.summary(runs)
    rows = tables.mark_best(rows[rows.method.isin(names)].reset_index(drop=True))
    rows = rows.rename(columns={"method": "variant"})
    effective = [[settings[name][key] for key in keys] for name in rows.variant]
    scores = tables.reported(runs)
    tests = against_base(scores[scores.method.isin(names)])
    return pd.DataFrame(effective, columns=list(keys)).join(rows).merge(tests, how="left")


def against_base(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a row a variant and labelled subset: labelled_patches, variant and TESTS, corrected after Holm."""
    tests = significance.wilcoxon(scores, BASE)
    test = tests.metric.str.removesuffix("_mm") + "_p_" + tests.unit
    wide = tests.assign(test=test).pivot(index=["labelled_patches", "rival"], columns="test", values="p_holm")
    return wide.reindex(columns=TESTS).rename_axis(index={"rival": "variant"}, columns=None).reset_index()


def table2(runs: tables.Runs, settings: dict[str, dict]) -> pd.DataFrame:
    """Return Table 2, which terms of the loss help: `table` with the terms' names, and the paper's figures."""
    made = table(runs, settings, TERMS)
    terms = [" + ".join(TERMS[key] for key in TERMS if row[key] > 0) or "none" for row in made.to_dict("records")]
    made.insert(0, "terms", pd.Series(terms, dtype=str))
    return paper.beside(made.drop(columns=list(TERMS)), 2, ["terms"])


def table3(runs: tables.Runs, settings: dict[str, dict]) -> pd.DataFrame:
    """Return Table 3, which similarity finds the better labels: `table` of kernel and reduce, and the paper's figures.

    Reduce is what is made of the similarities with the references of a class.
    """
    return paper.beside(table(runs, settings, SIMILARITY), 3, SIMILARITY)


def other_variants(runs: tables.Runs, settings: dict[str, dict]) -> pd.DataFrame:
    """Return the base and the variants that belong neither to Table 2 nor to Table 3.

    Columns: changes (the keys that differ from the base's, with their values), then those of `table` from variant on.
    """
    base, shown = settings[BASE], {*within(settings, TERMS), *within(settings, SIMILARITY)} - {BASE}
    others = {name: each for name, each in settings.items() if name not in shown}
    made = table(runs, others, base).drop(columns=list(base))
    changed = {name: [f"{k}: {v}" for k, v in each.items() if v != base[k]] for name, each in others.items()}
    made.insert(0, "changes", pd.Series([", ".join(changed[name]) for name in made.variant], dtype=str))
    return made
