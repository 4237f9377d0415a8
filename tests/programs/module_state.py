"""The state of decimal, logging and warnings, the environment, arguments, path and directory."""

import decimal
import logging
import os
import sys
import warnings

import stillframe

decimal.getcontext().prec = 5
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
logger = logging.getLogger("own")
logger.setLevel(logging.WARNING)
warnings.simplefilter("error")
sys.argv.append("argument")
sys.path.append("/added")
sys.setrecursionlimit(2345)
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print(decimal.Decimal(1) / 3, sys.argv[-1], sys.path[-1], sys.getrecursionlimit())
logger.info("never")
logger.warning("logged")
try:
    warnings.warn("now an error", stacklevel=1)
except UserWarning as error:
    print(error)
