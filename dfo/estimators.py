"""scikit-learn estimators of the package, each in a file of its own."""

from dfo.cbo.classifier import CBOClassifier
from dfo.cbo.regressor import CBORegressor

__all__ = ["CBOClassifier", "CBORegressor"]
