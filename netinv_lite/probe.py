"""The names of `_core` under one roof, until every import says where they live."""

from ._core.boundary import (  # noqa: F401
    ONE_LOGIT,
    Target,
    answer,
    checked,
    entering,
    fastest_order,
    probe_images,
    probe_logits,
    recording,
    row_by_row,
    signature,
)
from ._core.device import device_of, dtype_of, on_device, pick_device, unwrapped  # noqa: F401
from ._core.freezing import frozen  # noqa: F401
from ._core.hooks import Tap, batch_statistics, final_linear, head, named  # noqa: F401
from ._core.random_state import (  # noqa: F401
    learning,
    random_state,
    seeded,
    set_random_state,
    with_gradients,
)
from ._core.validation import check_images  # noqa: F401
