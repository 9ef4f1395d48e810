import sys
from .shipping import fit_shipped
print(fit_shipped(sys.argv[2], "data/weights"))
