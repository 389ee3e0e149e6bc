"""
Reliability of probabilities
============================

Of the pixels with a confidence of 0.8, 80 % should be correct. Temperature scaling (Guo et al. 2017) fits one number on points that were
held out from the training.
"""

import numpy as np

from geopointseg.assessment.calibration import fit_temperature
from geopointseg.report.figures import draw_reliability

rng = np.random.default_rng(0)
logits = rng.normal(size=(600, 5))
truth = np.array([rng.choice(5, p=np.exp(z) / np.exp(z).sum()) for z in logits])
sharp = np.exp(3 * logits)
sharp /= sharp.sum(axis=1, keepdims=True)

# %%
# Logits were multiplied by 3, so the model is overconfident. The fitted temperature finds that number.
calibration = fit_temperature(sharp, truth)
print(f"temperature {calibration.temperature:.2f}")
print(f"expected calibration error {calibration.before.ece:.3f} -> {calibration.after.ece:.3f}")

# %%
figure = draw_reliability(calibration.before, calibration.after)
