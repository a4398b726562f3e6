"""Package metadata: contents, requirements with their reasons, entry points."""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "c2am_plugin/__init__.py").read_text("utf-8"))

setup(
    name="c2am-plugin",
    version=VERSION[1],
    description="Better CAM files for weakly supervised segmentation, from C2AM's background cues",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=[
        "weakly supervised semantic segmentation",
        "class activation maps",
        "pseudo labels",
        "C2AM",
        "saliency",
        "background cues",
        "PyTorch",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Environment :: GPU :: NVIDIA CUDA",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=[
        "c2am_plugin",
        "c2am_plugin.bench",
        "c2am_plugin.boxes",
        "c2am_plugin.classifier",
        "c2am_plugin.cli",
        "c2am_plugin.convert",
        "c2am_plugin.crf",
        "c2am_plugin.describe",
        "c2am_plugin.files",
        "c2am_plugin.network",
        "c2am_plugin.page",
        "c2am_plugin.refine",
        "c2am_plugin.runs",
        "c2am_plugin.saliency",
        "c2am_plugin.seeds",
        "c2am_plugin.show",
        "c2am_plugin.training",
        "c2am_adapters",
    ],
    # "adapters" is the name of another package on PyPI, so ours installs under its own.
    package_dir={"c2am_plugin": "c2am_plugin", "c2am_adapters": "adapters"},
    package_data={
        "c2am_plugin": ["py.typed"],
        "c2am_plugin.page": ["templates/*"],
        "c2am_adapters": ["py.typed"],
    },
    install_requires=[
        "numpy>=1.23",
        "torch>=2.1",  # the C2AM network; refining stored CAMs never imports it
        "torchvision>=0.16",  # backbones, their weights, image transforms
        "scipy>=1.9",  # connected components and resampling of maps
        "Pillow>=9.4",  # PNG and JPEG, palettes
        "imageio>=2.28",  # reads photographs, through Pillow
        "tqdm>=4.60",  # progress bars
        "joblib>=1.3",  # parallel runs on threads, processes or a cluster
        "numba>=0.57",  # the dense CRF, compiled
        "jinja2>=3.1",  # the pages, with automatic escaping; torch also needs it
    ],
    extras_require={
        "dask": ["dask[distributed]"],  # runs on a cluster, through joblib
        "timm": ["timm>=1.0"],  # --backbone timm:NAME
        # --crf-backend pydensecrf. Its build pins a Cython that fails on Python 3.13.
        "pydensecrf": ["pydensecrf2; python_version < '3.13'"],
        "test": [
            "pytest",
            "pytest-cov",
            "pytest-xdist",  # two tests at a time
            "hypothesis",
            "matplotlib",  # examples/tour.ipynb
            "scikit-image",  # superpixels for --segments; free photographs of the demo
            "timm>=1.0",
            "dask[distributed]",
            "pydensecrf2; python_version < '3.13'",  # the reference of the CRF's tests
        ],
    },
    entry_points={
        "console_scripts": [
            "c2am-refine=c2am_plugin.cli:refine_main",
            "c2am-bench=c2am_plugin.cli:bench_main",
            "c2am-train=c2am_plugin.cli:train_main",
            "c2am-cams=c2am_plugin.cli:cams_main",
            "c2am-cues=c2am_plugin.cli:cues_main",
            "c2am-describe=c2am_plugin.cli:describe_main",
            "c2am-saliency=c2am_plugin.cli:saliency_main",
            "c2am-boxes=c2am_plugin.cli:boxes_main",
            "c2am-convert=c2am_plugin.cli:convert_main",
            "c2am-merge=c2am_plugin.cli:merge_main",
            "c2am-show=c2am_plugin.cli:show_main",
        ],
        "c2am_plugin.adapters": [
            "psa=c2am_adapters.psa:PsaAdapter",
            "puzzlecam=c2am_adapters.puzzlecam:PuzzleCamAdapter",
            "advcam=c2am_adapters.advcam:AdvCamAdapter",
            "amn_step2=c2am_adapters.amn:AmnAdapter",
            "toco=c2am_adapters.toco:TocoAdapter",
            "clip_es=c2am_adapters.clip_es:ClipEsAdapter",
            "more=c2am_adapters.more:MoreAdapter",
            "afa=c2am_adapters.afa:AfaAdapter",
            "sipe=c2am_adapters.sipe:SipeAdapter",
            "sfc=c2am_adapters.sfc:SfcAdapter",
            "psdpm=c2am_adapters.psdpm:PsdpmAdapter",
            "excel=c2am_adapters.excel:ExcelAdapter",
            "logits=c2am_adapters.logits:LogitsAdapter",
            "fma_wss=c2am_adapters.fma_wss:FmaWssAdapter",
            "recurseed=c2am_adapters.recurseed:RecurSeedAdapter",
            "wsss_bed=c2am_adapters.wsss_bed:WsssBedAdapter",
        ],
        "c2am_plugin.profiles": ["c2am=c2am_adapters.profiles:PROFILES"],
    },
)
