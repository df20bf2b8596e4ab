"""What is added to the loss: one file = one term, an `nn.Module` on hidden states and their mask."""

from trainer_callbacks.regularizers.bures_isotropy import BuresIsotropy
from trainer_callbacks.regularizers.cl_reg import CLReg
from trainer_callbacks.regularizers.cor_reg import CorReg
from trainer_callbacks.regularizers.cos_reg import CosReg
from trainer_callbacks.regularizers.i_star import IStar
from trainer_callbacks.regularizers.isotropy_layer import IsotropyLayer
from trainer_callbacks.regularizers.joint_batch import JointBatch
from trainer_callbacks.regularizers.joint_loss import JointLoss
from trainer_callbacks.regularizers.persistent_entropy import PersistentEntropy
from trainer_callbacks.regularizers.regularization_term import RegularizationTerm
from trainer_callbacks.regularizers.sigreg import SIGReg
from trainer_callbacks.regularizers.uniformity import Uniformity
from trainer_callbacks.regularizers.vicreg import VICReg

__all__ = [
    "BuresIsotropy",
    "CLReg",
    "CorReg",
    "CosReg",
    "IStar",
    "IsotropyLayer",
    "JointBatch",
    "JointLoss",
    "PersistentEntropy",
    "RegularizationTerm",
    "SIGReg",
    "Uniformity",
    "VICReg",
]
