package io.kappalakehouse.validator;

import java.io.Serializable;
import java.util.List;

/** A topic's payload: its fields in the order in which they are tested, and the one that is the record's key. */
public record Contract(String topic, String key, List<Field> fields) implements Serializable {

  /** The suffix of the topic's tables and functions: {@code clicks} for {@code shop.clicks}. */
  public String table() {
    return topic.substring(topic.indexOf('.') + 1);
  }
}
