"""Separates songs into stems with Deezer's Spleeter networks."""
