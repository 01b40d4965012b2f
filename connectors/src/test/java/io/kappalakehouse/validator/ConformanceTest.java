package io.kappalakehouse.validator;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

class ConformanceTest {

  @TestFactory
  Stream<DynamicTest> verdictIsTheOneWrittenByHand() throws IOException {
    return ConformanceCase.all().stream().map(each -> DynamicTest.dynamicTest(each.why(), () -> verify(each)));
  }

  private static void verify(ConformanceCase expected) {
    Verdict verdict =
        Validator.of(expected.topic()).validate(expected.key(), expected.value(), expected.arrivalMs());
    assertEquals(expected.reason(), verdict.isValid() ? null : verdict.reason().wire());
    assertEquals(expected.field(), verdict.field());
    assertEquals(expected.values(), verdict.values());
  }
}
