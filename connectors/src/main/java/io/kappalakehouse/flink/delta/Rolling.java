package io.kappalakehouse.flink.delta;

import java.io.Serializable;

/** When a data file is full before its checkpoint ends it. */
record Rolling(long bytes, long rows) implements Serializable {

  boolean full(DataFile file) {
    return file.rows() >= rows || file.size() >= bytes;
  }
}
