# What `netinv_lite` offers, read by the package itself when a name is first used.
from . import (
    applications as applications,
)
from . import (
    baselines as baselines,
)
from . import (
    conditioning as conditioning,
)
from . import (
    data as data,
)
from . import (
    direct as direct,
)
from . import (
    ensemble as ensemble,
)
from . import (
    exercises as exercises,
)
from . import (
    generator as generator,
)
from . import (
    inversion as inversion,
)
from . import (
    losses as losses,
)
from . import (
    metrics as metrics,
)
from . import (
    models as models,
)
from . import (
    plot as plot,
)
from . import (
    presets as presets,
)
from . import (
    studies as studies,
)
from ._core.boundary import Target as Target
from ._core.freezing import frozen as frozen
from ._core.hooks import Tap as Tap
from ._core.hooks import batch_statistics as batch_statistics
from ._core.hooks import final_linear as final_linear
from ._core.loop import Interrupted as Interrupted
from ._core.serialization import about as about
from .applications import (
    distillation as distillation,
)
from .applications import (
    ood as ood,
)
from .applications import (
    ood_scores as ood_scores,
)
from .applications import (
    privacy as privacy,
)
from .applications import (
    reconstruction as reconstruction,
)
from .applications import (
    shortcuts as shortcuts,
)
from .conditioning import (
    Condition as Condition,
)
from .conditioning import (
    Label as Label,
)
from .conditioning import (
    Matrix as Matrix,
)
from .conditioning import (
    SoftTargets as SoftTargets,
)
from .conditioning import (
    Vector as Vector,
)
from .conditioning import (
    VectorMatrix as VectorMatrix,
)
from .data import ImageData as ImageData
from .data import load_data as load_data
from .ensemble import invert_many as invert_many
from .exercises import attempt as attempt
from .generator import ConditionedGenerator as ConditionedGenerator
from .inversion import Inversion as Inversion
from .inversion import invert as invert
from .losses import InversionLoss as InversionLoss
from .models import (
    CNN as CNN,
)
from .models import (
    MLP as MLP,
)
from .models import (
    VGG as VGG,
)
from .models import (
    FitConfig as FitConfig,
)
from .models import (
    ResNet as ResNet,
)
from .models import (
    ResNet20 as ResNet20,
)
from .models import (
    ViT as ViT,
)
from .models import (
    fit as fit,
)
from .models import (
    load_classifier as load_classifier,
)
from .models import (
    load_judge as load_judge,
)
from .models import (
    load_referee as load_referee,
)
from .presets import PRESETS as PRESETS
from .presets import InversionConfig as InversionConfig
from .presets import Preset as Preset

__version__: str
