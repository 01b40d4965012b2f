package io.kappalakehouse.validator;

import java.util.List;

/**
 * The verdict on one record.
 *
 * @param reason null when the record is valid
 * @param field the field's name for {@code MISSING}, {@code WRONG_TYPE} and {@code OUT_OF_RANGE}, else null
 * @param values when valid, every field of the contract in its order, as {@code String} or {@code Long} (times in
 *     epoch milliseconds) or null; null when invalid
 */
public record Verdict(Reason reason, String field, List<Object> values) {

  static Verdict invalid(Reason reason) {
    return new Verdict(reason, null, null);
  }

  static Verdict invalid(Reason reason, String field) {
    return new Verdict(reason, field, null);
  }

  public boolean isValid() {
    return reason == null;
  }
}
