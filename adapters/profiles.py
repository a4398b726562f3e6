"""The pipelines known by name, one row each: the layout and the pipeline's own numbers.

Each row is verified against the pipeline's own code and gives its place as `source`. `:coco` marks
the numbers for COCO. A background score of None means that the pipeline has no constant (it finds
the best one with ground truth) or that it stores a background in its files.
"""

from __future__ import annotations

from c2am_plugin.cams import Profile

__all__ = ["PROFILES"]


def _dumps(low: float, high: float) -> dict[str, float]:
    return {"low_alpha": low, "high_alpha": high}


def _labels(foreground: float, background: float) -> dict[str, float]:
    return {"fg": foreground, "bg": background}


_ALPHA = ("out_crf_{low_alpha:.1f}", "out_crf_{high_alpha:.1f}")

PROFILES = [
    # {class: H×W}
    Profile("psa", "psa", 0.20, _dumps(4, 32), crf="psa", source="jiwoon-ahn/psa infer_cls.py"),
    Profile(
        "sc_cam", "psa", 0.15, _dumps(4, 32), crf="psa", source="Juliachang/SC-CAM infer_cls.py"
    ),
    Profile("seam", "psa", 0.26, _dumps(4, 24), _ALPHA, "psa", "YudeWang/SEAM infer_SEAM.py"),
    Profile(
        "mctformer",
        "psa",
        None,
        _dumps(1, 12),
        ("out_crf_{low_alpha:g}", "out_crf_{high_alpha:g}"),
        "psa",
        "xulianuwa/MCTformer evaluation.py:139-149, run_psa.sh:15-20",
    ),
    Profile("weaktr", "psa", 0.43, crf="psa", source="hustvl/WeakTr docs/Training.md:45"),
    Profile("weaktr:coco", "psa", 0.42, crf="psa", source="hustvl/WeakTr docs/Training.md:82"),
    Profile(
        "s2c",
        "psa",
        None,
        _dumps(6, 24),
        ("{low_alpha:02.0f}", "{high_alpha:02.0f}"),
        "psa",
        "sangrockEG/S2C evaluation.py:42-50, train.py:72",
    ),
    Profile(
        "cti", "psa", None, _labels(0.40, 0.26), source="yoon307/CTI models/model_CTI.py:478-496"
    ),
    # keys [0, c+1 …], cam, hr_cam
    Profile(
        "puzzlecam",
        "puzzlecam",
        0.20,
        _labels(0.40, 0.10),
        source="shjo-april/PuzzleCAM README.md, make_affinity_labels.py",
    ),
    Profile(
        "pnoc",
        "puzzlecam",
        None,
        _labels(0.30, 0.05),
        source="lucasdavid/PNOC scripts/cam/inference.py:139-151, make_affinity_labels.py:41-42",
    ),
    # keys [c …], cam, high_res
    Profile("advcam", "advcam", 0.15, _labels(0.35, 0.15), source="jbeomlee93/AdvCAM"),
    Profile("irn", "advcam", 0.15, _labels(0.30, 0.05), source="jiwoon-ahn/irn run_sample.py"),
    Profile(
        "recam",
        "advcam",
        0.21,
        _labels(0.35, 0.10),
        source="zhaozhengChen/ReCAM run_sample.py:43,52,53",
    ),
    Profile(
        "recam:coco",
        "advcam",
        0.15,
        _labels(0.30, 0.05),
        source="zhaozhengChen/ReCAM run_sample_coco.py:30-41",
    ),
    Profile(
        "lpcam",
        "advcam",
        0.30,
        _labels(0.45, 0.25),
        source="zhaozhengChen/LPCAM run_sample.py:43,50,51",
    ),
    Profile(
        "lpcam:coco",
        "advcam",
        0.30,
        _labels(0.45, 0.25),
        source="zhaozhengChen/LPCAM run_sample_coco.py",
    ),
    Profile(
        "qa_clims",
        "advcam",
        0.15,
        _labels(0.30, 0.10),
        source="CVI-SZU/QA-CLIMS parser.py:58,71,72",
    ),
    Profile(
        "amn", "advcam", 0.25, _labels(0.45, 0.15), source="gaviotas/AMN run_sample.py:40,53,54"
    ),
    Profile(
        "beco",
        "advcam",
        0.15,
        _labels(0.30, 0.05),
        source="BECO first-stage/irn/step/make_cam.py:55",
    ),
    # keys [c …], cam, high_res with a background that the readers drop
    Profile(
        "amn_step2",
        "amn_step2",
        0.25,
        _labels(0.45, 0.15),
        source="gaviotas/AMN step/eval_amn_cam.py:17-19, step/amn_cam_to_ir_label.py:25-43",
    ),
    # keys [c …], high_res
    Profile(
        "toco",
        "toco",
        0.50,
        _labels(0.70, 0.25),
        crf="",
        source="rulixiang/ToCo tools/infer_seg_as_cam.py:82, tools/infer_cam_crf_label.py:25-26",
    ),
    Profile(
        "toco:coco",
        "toco",
        0.40,
        _labels(0.50, 0.25),
        crf="",
        source="rulixiang/ToCo tools/eval_cam_coco.py:18",
    ),
    # keys [c …], attn_highres: background (1 − max)^1, so t = 0.5
    Profile(
        "clip_es",
        "clip_es",
        0.50,
        crf="clip_es",
        source="linyq2117/CLIP-ES generate_cams_voc12.py:209-214, eval_cam_with_crf.py:87-124",
    ),
    Profile(
        "weclip",
        "clip_es",
        0.50,
        crf="clip_es",
        source="zbf1991/WeCLIP WeCLIP_model/model_attn_aff_voc.py:87,162",
    ),
    Profile("pot", "clip_es", 0.50, crf="clip_es", source="jianwang91/POT, reads CLIP-ES's files"),
    # keys [c …], valid_lam
    Profile("more", "more", 0.50, crf="clip_es", source="zwyang6/MoRe tools/infer_lam.py:56,144"),
    # keys [c …], cam at full size
    Profile(
        "afa",
        "afa",
        0.45,
        _labels(0.55, 0.35),
        crf="",
        source="rulixiang/afa configs/coco_attn_reg.yaml:31-33",
    ),
    # A background in the files; seeds with the whole and with half of it
    Profile("sipe", "sipe", None, {"bg_scale": 0.5}, source="chenqi1126/SIPE cam2ir.py:26-43"),
    Profile("sfc", "sfc", None, {"bg_scale": 0.5}, source="Barrett-python/SFC cam2ir.py:26-44"),
    Profile(
        "psdpm",
        "psdpm",
        None,
        {"bg_scale": 0.5},
        source="xinqiaozhao/PSDPM make_cam.py, last block",
    ),
    Profile(
        "excel", "excel", None, crf="clip_es", source="zwyang6/ExCEL tools/infer_lam.py:116-119"
    ),
    # Logits of every class
    Profile(
        "logits",
        "logits",
        source="rulixiang/ToCo tools/infer_seg_voc.py:73; DuPL, SeCo, MoRe, ExCEL the same; "
        "zbf1991/WeCLIP test_msc_flip_voc.py:111",
    ),
    # Other containers: .npz of raw CAMs, a plain pickle, one 8-bit PNG per class
    Profile(
        "fma_wss",
        "fma_wss",
        source="HAL-42/FMA-WSSS src/tasks/infer_cam/run.py:147-178, src/libs/seeding/score.py",
    ),
    Profile(
        "recurseed",
        "recurseed",
        (3 - 5**0.5) / 2,  # 0.382 = (1 − 0.382)^2
        crf="clip_es",
        source="shjo-april/RecurSeed_and_EdgePredictMix infer_rsepm.py:119-134, "
        "convert_seed_to_pseudo_masks.py",
    ),
    Profile("wsss_bed", "wsss_bed", source="clovaai/WSSS-BED wsss_bed/run.py:54-76"),
]
