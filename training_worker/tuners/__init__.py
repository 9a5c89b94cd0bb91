"""PEFT methods that no library carries, registered with PEFT by importing this package."""

from training_worker.tuners.b_only import BOnlyConfig
from training_worker.tuners.bitfit import BitFitConfig
from training_worker.tuners.linchain import LinChainConfig
from training_worker.tuners.propulsion import PropulsionConfig
from training_worker.tuners.ssf import SsfConfig

__all__ = ["BOnlyConfig", "BitFitConfig", "LinChainConfig", "PropulsionConfig", "SsfConfig"]
