//! Geometry on the surface of the earth: shapes in GeoJSON, which of them touch and contain which, and distances.
//!
//! Knows values ([`crate::datum`]) and mathematics; nothing of terms, tables or indexes. Edges are the shorter arcs of
//! great circles on a sphere. Distances are those on an ellipsoid. What is inside is decided exactly; see
//! [`orientation`] for points that lie on a boundary.

mod assembly;
mod cover;
mod distance;
mod edge;
mod effort;
mod geodesic;
mod geojson;
mod line;
mod orientation;
mod polygon;
mod relation;
mod ring;
mod series;
mod vector;

pub use cover::{Cell, cover, cover_around};
pub use distance::{Ellipsoid, Unit, check_radius, check_search_radius, circle, distance};
pub use effort::{Effort, GeoError};
pub use geojson::{check, kind_of, line, line_positions, point, point_position, polygon};
pub use relation::{Area, intersects, read_polygon};
pub use vector::LonLat;
