"""scikit-learn estimators of the package, each in a file of its own."""

from dfo.cbo.network.classifier import CBOClassifier
from dfo.cbo.network.regressor import CBORegressor

__all__ = ["CBOClassifier", "CBORegressor"]
