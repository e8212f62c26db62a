"""Puts a model into an image while it is built: ``fetch_weights.py REPOSITORY REVISION FOLDER PATTERN...``.

The revision is a full commit, so that the image holds what the module's author saw. `HF_ENDPOINT` names a mirror.
"""

import sys

from huggingface_hub import snapshot_download

repository, revision, folder, *patterns = sys.argv[1:]
if len(revision) != 40:
    sys.exit(f"'{revision}' may move; name a full commit")
# Nothing that is unpickled: configurations, vocabularies and plain tensors.
assert all(pattern.endswith((".json", ".txt", ".safetensors", ".model")) for pattern in patterns), patterns
print(snapshot_download(repository, revision=revision, local_dir=folder, allow_patterns=patterns))
