"""placeholder"""
def document(version): return {}
