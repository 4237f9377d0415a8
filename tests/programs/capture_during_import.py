"""While a module is being imported, which imports another."""

print("before")
import _imported

print(_imported.value, _imported.after)
